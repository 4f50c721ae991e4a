// NNI's manager looks once, 30 seconds after it has lost a worker of its remote platform, whether the machine is there again. If it
// is not, no trial starts any more on any machine: one that was being started there is waited for for ever. Loaded with
// NODE_OPTIONS=--require, this looks until the machine is back, and lets the others go on meanwhile.
const Module = require('module');
const AGAIN_MS = 10_000;
const START_MS = 180_000;
let tarball = null; // NNI's module of that name

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms).unref());
const tooLate = async (ms) => {
    await wait(ms);
    throw new Error(`not ready after ${ms / 1000} seconds`);
};

function mend(service) {
    const { createTrial, start, stop, stopWorker } = service;

    service.start = async function () {
        await start.call(this);
        for (const worker of this.workers) worker.ready = true;
        return this.workers.map((worker) => worker.env);
    };

    service.stop = function () {
        this.over = true;
        return stop.call(this);
    };

    // trials are given to workers of this list; one that only starts is not ready for them
    service.emitEnvUpdate = function () {
        this.emitter.emit('env_update', this.workers.filter((worker) => worker.ready).map((worker) => worker.env));
    };

    service.createTrial = function (envId, ...rest) {
        const worker = this.workersByEnv.get(envId);
        if (worker === undefined) return createTrial.call(this, envId, ...rest);
        worker.gone ??= new Promise((resolve) => { worker.leave = resolve; });
        return Promise.race([createTrial.call(this, envId, ...rest), worker.gone]);
    };

    service.stopWorker = function (worker, emitEnvUpdate) {
        worker.ready = false;
        worker.leave?.(null); // NNI then starts the trial elsewhere
        return stopWorker.call(this, worker, emitEnvUpdate);
    };

    async function launched(service, config) {
        const worker = await service.launchWorker(config);
        for (const name of service.uploadedDirs) await worker.upload(name, tarball.getTarballPath(name));
        return worker;
    }

    service.restartWorker = async function (lost) {
        this.stopWorker(lost, true);
        const { host } = lost.config;
        this.looked ??= new Set();
        if (this.looked.has(lost.config)) return; // one that was lost again while it started
        this.looked.add(lost.config);
        while (!this.over) {
            try {
                const worker = await Promise.race([launched(this, lost.config), tooLate(START_MS)]);
                worker.ready = true;
                this.looked.delete(lost.config);
                this.emitEnvUpdate();
                this.log.info(`Worker ${host} has been recovered`);
                return;
            } catch (error) {
                this.log.warning(`Worker ${host} is not back yet:`, error);
                for (const worker of this.workers.filter((each) => each.config === lost.config)) this.stopWorker(worker, true);
                await wait(AGAIN_MS);
            }
        }
    };
}

let mended = false;
const load = Module._load;
Module._load = function (request, ...rest) {
    const loaded = load.call(this, request, ...rest);
    if (request === 'common/tarball') tarball = loaded;
    if (!mended && typeof loaded?.RemoteTrainingServiceV3 === 'function') {
        mended = true;
        mend(loaded.RemoteTrainingServiceV3.prototype);
    }
    return loaded;
};
