// Loaded into NNI's manager by a test: it listens on another port than the one that it was told, and that all others use, where
// the test's proxy stands.
const net = require('net');
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (...args) {
    if (String(args[0]) === process.env.FAULTS_FRONT) args[0] = Number(process.env.FAULTS_BACK);
    return listen.apply(this, args);
};
