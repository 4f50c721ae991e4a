// NNI's manager ends an experiment whose tuner has not connected 10 seconds after its start, which on a busy machine Python alone
// needs to import NNI. Loaded with NODE_OPTIONS=--require, this waits as long as the tuner's process lives, up to a limit.
const child_process = require('child_process');
const Module = require('module');
const SECONDS = 120;

let server = null;
function giveUp(reason) {
    if (server !== null && !server.connect.settled) server.connect.reject(new Error(`The tuner ${reason}`));
}

const load = Module._load;
Module._load = function (request, ...rest) {
    const loaded = load.call(this, request, ...rest);
    if (server === null && /(^|\/)tuner_command_channel$/.test(request) && typeof loaded.getTunerServer === 'function') {
        server = loaded.getTunerServer();
        server.init = () => {
            setTimeout(() => giveUp(`did not connect in ${SECONDS} seconds`), SECONDS * 1000).unref();
            return server.connect.promise;
        };
    }
    return loaded;
};

const spawn = child_process.spawn;
child_process.spawn = function (command, args, ...rest) {
    const child = spawn.call(this, command, args, ...rest);
    if (Array.isArray(args) && args.includes('--exp_params')) {
        child.on('exit', (code) => giveUp(`ended with exit code ${code} before it connected`));
    }
    return child;
};
