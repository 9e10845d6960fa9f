/** A Prometheus histogram whose series are looked up once; counting a value looks up no label. */
export interface FixedHistogram {
  /** Returns the function that counts a value of one series, which begins at zero; the caller bounds their number. */
  series(labels: readonly string[]): (value: number) => void;
  /** The family in the text format of Prometheus 0.0.4, without a line break at its end. */
  text(): string;
}

/** What a histogram is declared with. */
export interface HistogramDeclaration {
  readonly name: string;
  readonly help: string;
  /** Label values are given in this order; none of them may need escaping. */
  readonly labelNames: readonly string[];
  /** Upper bounds, ascending. */
  readonly bounds: readonly number[];
}

/**
 * Returns a histogram that has counted nothing. It exists beside those of prom-client because every request passes it
 * several times: there each value hashes its labels, which costs more than all other counting of a request.
 */
export function newFixedHistogram(declaration: HistogramDeclaration): FixedHistogram {
  const { bounds } = declaration;
  const all = new Map<string, { readonly labels: readonly string[]; readonly cells: Float64Array }>();
  return {
    series: (labels) => {
      const cells = all.get(labels.join(' '))?.cells ?? new Float64Array(bounds.length + 2);
      all.set(labels.join(' '), { labels, cells });
      return (value) => {
        let place = 0;
        while (place < bounds.length && value > (bounds[place] ?? 0)) place += 1;
        cells[place] = (cells[place] ?? 0) + 1;
        cells[bounds.length + 1] = (cells[bounds.length + 1] ?? 0) + value;
      };
    },
    text: () => {
      const { name, help } = declaration;
      const lines = [...all.values()].flatMap(({ labels, cells }) => seriesText(declaration, labels, cells));
      return [`# HELP ${name} ${help}`, `# TYPE ${name} histogram`, ...lines].join('\n');
    },
  };
}

function seriesText(
  { name, labelNames, bounds }: HistogramDeclaration,
  labels: readonly string[],
  cells: Float64Array,
): string[] {
  const own = labelNames.map((label, place) => `${label}="${labels[place] ?? ''}"`);
  let count = 0;
  const buckets = [...bounds.map(String), '+Inf'].map((bound, place) => {
    count += cells[place] ?? 0;
    return `${name}_bucket{${[`le="${bound}"`, ...own].join(',')}} ${count}`;
  });
  const braces = own.length === 0 ? '' : `{${own.join(',')}}`;
  return [...buckets, `${name}_sum${braces} ${cells[bounds.length + 1] ?? 0}`, `${name}_count${braces} ${count}`];
}
