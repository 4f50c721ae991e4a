// NNI's manager has no login, and its API starts commands. Loaded with NODE_OPTIONS=--require, this keeps it to this machine:
// its servers listen on loopback, answer neither other hosts' names nor other sites' pages, and TensorBoard is started likewise.
const child_process = require('child_process');
const http = require('http');
const net = require('net');

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (...args) {
    if (typeof args[0] === 'number' || (typeof args[0] === 'string' && /^\d+$/.test(args[0]))) {
        if (typeof args[1] === 'string') args[1] = '127.0.0.1';
        else args.splice(1, 0, '127.0.0.1');
    } else if (args[0] && typeof args[0] === 'object' && args[0].port !== undefined) {
        args[0] = { ...args[0], host: '127.0.0.1' };
    }
    return listen.apply(this, args);
};

// A page of another site can make the browser ask this machine: by a name of its own that leads here, which the Host header
// tells, or across sites, which the Origin header tells, or, of pictures, scripts and frames, Sec-Fetch-Site; a link is followed.
// /netron of NNI's is https://netron.app: scripts from there could use the API, and the manager ends where it is not reached.
const HOST = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i;
const ORIGIN = /^https?:\/\/(.*)$/i;
const NETRON = /\/netron([/?#]|$)/i;
function refused({ headers, url }) {
    if (NETRON.test(url)) return 'netron';
    if (!HOST.test(headers.host ?? '')) return `Host ${headers.host}`;
    if (headers.origin !== undefined && !HOST.test(ORIGIN.exec(headers.origin)?.[1] ?? '')) return `Origin ${headers.origin}`;
    if (headers['sec-fetch-site'] === 'cross-site' && headers['sec-fetch-dest'] !== 'document') return 'Sec-Fetch-Site cross-site';
    return null;
}
const emit = http.Server.prototype.emit;
http.Server.prototype.emit = function (event, request, answer, ...rest) {
    const reason = event === 'request' || event === 'upgrade' ? refused(request) : null;
    if (reason === null) return emit.call(this, event, request, answer, ...rest);
    if (event === 'upgrade') {
        answer.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n');
    } else {
        answer.writeHead(403, { 'Content-Type': 'text/plain', Connection: 'close' });
        answer.end(`${reason}: refused by nni-earlyexit, whose server answers only 127.0.0.1, localhost and its own pages\n`);
    }
    return true;
};

const spawn = child_process.spawn;
child_process.spawn = function (command, args, ...rest) {
    const bound = Array.isArray(args) ? args.map((word) => String(word).replace('--bind_all', '--host 127.0.0.1')) : args;
    return spawn.call(this, command, command === 'tensorboard' ? bound : args, ...rest);
};
