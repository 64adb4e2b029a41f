// The runner of integration tests, under its plain name: see play.mjs.
//
//   test('what must hold', async () => { assert... });
//   after(() => server.stop());
//   await done();			the file's last line
export { scene as test, after, curtain as done, until } from './play.mjs';
