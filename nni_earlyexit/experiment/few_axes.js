// NNI's web UI draws an axis for every choice of the search space and every metric under "Hyper-parameter", some 40 over one another,
// until its user takes most away. Loaded with NODE_OPTIONS=--require, this lets its page begin with few.
const fs = require('fs');
const Module = require('module');
const path = require('path');

// Both run in the browser.

// The page makes an axis, an entry of a list and a row of a table of each metric, and ends with an error where one is a mapping.
// It needs none of what search/metrics.py puts together there.
function passOverDetails() {
    const parse = JSON.parse;
    JSON.parse = function (...given) {
        const value = parse.apply(this, given);
        if (typeof value?.default === 'number' && typeof value.details === 'object') delete value.details;
        return value;
    };
}

// The page reads this entry when it draws; its dialog "Add/Remove axes" writes it.
function noteFewAxes() {
    const MOST = 9; // choices, beside three metrics
    const YEARS_MS = 1e12; // the page forgets what is older
    const METRICS = ['accuracy', 'avg_macs', 'latency_s']; // the default metric is the colour
    const OF_THE_WHOLE = /^(resolution|stage\d+_depth|exit\d+_present)$/; // and not of a single layer
    const prefix = location.pathname.replace(/\/(oview|detail|experiment)?$/, '');
    fetch(`${prefix}/api/v1/nni/experiment`)
        .then((answer) => answer.json())
        .then(({ id, params }) => {
            const key = `${id}_paraColumns`;
            const choices = Object.entries(params.searchSpace ?? {}).filter(([, { _value }]) => _value?.length > 1);
            if (localStorage.getItem(key) !== null || choices.length <= MOST) return;
            const labels = choices.map(([label]) => label);
            const main = labels.filter((label) => OF_THE_WHOLE.test(label));
            const axes = [...(main.length > 1 ? main : labels).slice(0, MOST), ...METRICS];
            const entry = { value: JSON.stringify(axes), time: Date.now(), expire: YEARS_MS, isSelectall: false };
            localStorage.setItem(key, JSON.stringify(entry));
        })
        .catch(() => {}); // the page says itself that the manager does not answer
}

const SCRIPT = `<script>(${passOverDetails})(); (${noteFewAxes})();</script>`;

function withScript(serve, root) {
    return (request, answer, next) => {
        // its pages have addresses without a file's ending, and are all index.html
        if (path.extname(request.path) !== '') return serve(request, answer, next);
        fs.readFile(path.join(root, 'index.html'), 'utf8', (error, page) => {
            if (error) return serve(request, answer, next);
            answer.type('html').set('Cache-Control', 'no-cache');
            answer.send(page.replace('<head>', () => `<head>${SCRIPT}`));
        });
    };
}

const load = Module._load;
let patched = false;
Module._load = function (request, ...rest) {
    const loaded = load.call(this, request, ...rest);
    if (request === 'express' && !patched) {
        patched = true;
        const files = loaded.static;
        loaded.static = (root, ...options) => {
            const serve = files(root, ...options);
            return path.basename(root) === 'static' ? withScript(serve, root) : serve;
        };
    }
    return loaded;
};
