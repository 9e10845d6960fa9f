import module from 'node:module';

// tsx turns source maps on, and Node then reads and keeps those of every library as well: some 100 MB that only ever say
// where in its own sources a library failed. From this import on they are left alone; traces go on pointing into the
// sources of this project. For `--import` right behind tsx.

function leaveOutLibraries(): void {
  const tell: unknown = Reflect.get(module, 'setSourceMapsSupport');
  if (typeof tell === 'function') tell(true, { nodeModules: false });
  else compileLibrariesWithoutMaps();
}

/** Node before 22.14 cannot be told; it looks for the name of a map in the text that it compiles. */
function compileLibrariesWithoutMaps(): void {
  const compile: unknown = Reflect.get(module.prototype, COMPILE);
  if (typeof compile !== 'function') return;
  Reflect.set(module.prototype, COMPILE, function (this: unknown, text: string, ...rest: [file: string]) {
    return Reflect.apply(compile, this, [IN_LIBRARY.test(rest[0]) ? withoutMap(text) : text, ...rest]) as unknown;
  });
}

const COMPILE = '_compile';
const IN_LIBRARY = /[\\/]node_modules[\\/]/;
const MAP_COMMENT = '\n//# sourceMappingURL=';

/** Only a comment that ends the text names a map: elsewhere it may be part of a string. */
function withoutMap(text: string): string {
  const at = text.lastIndexOf(MAP_COMMENT);
  return at === -1 ||
    text
      .slice(at + 1)
      .trimEnd()
      .includes('\n')
    ? text
    : text.slice(0, at);
}

if (process.sourceMapsEnabled) leaveOutLibraries();
