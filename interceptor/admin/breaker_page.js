// The status page: asks for all breakers once a second, and shows them.
//
// Of the list only the rows on the screen exist, and of those only what has
// changed is written. Names come from the wire: they get into the document as
// text nodes and nowhere else.

const POLL_MS = 1000;
const ANSWER_MS = 5000;  // no answer for this long: the server is gone
const HISTORY = 120;  // seconds of calls that are kept
const SPARE_ROWS = 6;  // beyond each end of the screen
const STILL_MS = 2000;  // rows stay where they are under a moving pointer
const QUIET_MS = 4000;  // between two announcements

const STATES = {
  open: 'Open',
  half_open: 'Half-open',
  forced_open: 'Forced open',
  forced_closed: 'Forced closed',
  closed: 'Closed',
};
// In the order of the list.
const RANKS = ['open', 'forced_open', 'half_open', 'forced_closed', 'closed'];
const FILTERS = [
  ['', 'All', null],
  ['open', 'Open', 'open'],
  ['half_open', 'Half-open', 'half_open'],
  ['forced', 'Forced', 'forced_open'],
  ['closed', 'Closed', 'closed'],
];
const REASONS = {
  timeout_threshold: 'Too many timeouts',
  system_error_threshold: 'Too many system errors',
  unknown_error_threshold: 'Too many unknown errors',
  failure_threshold: 'Too many failures',
  slow_call_threshold: 'Too many slow calls',
  probe_lease_ended: 'The probe got no answer',
  recovery_due: 'The wait is over',
  recovery_deferred: 'Unhealthy again before a probe',
  probe_admitted: 'A probe went out',
  probe_succeeded: 'The probe answered late',
  ramp_finished: 'Recovered',
  forced: 'Forced by an operator',
  force_expired: 'The time of the force is over',
  released: 'Released by an operator',
  reset: 'Reset, or long idle',
  caught_up: 'Several changes at once',
};
const CLASSES = {
  failure: 'failures',
  timeout: 'timeouts',
  system_error: 'system errors',
  unknown_error: 'unknown errors',
  slow_call: 'slow calls',
};

const $ = (id) => document.getElementById(id);

// --- Texts -----------------------------------------------------------------

const count = new Intl.NumberFormat('en');

function percent(share) {
  const value = share * 100;
  return (value > 0 && value < 1 ? '<1' : Math.round(value)) + '%';
}

function rate(perSecond) {
  return (perSecond < 10 && perSecond % 1 ? perSecond.toFixed(1) :
          count.format(Math.round(perSecond))) + '/s';
}

// "12 s", "3 min 5 s", "47 min", "4 h 10 min", "2 d 3 h": the second unit only
// while it matters.
function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  const units = [['d', 86400, 'h', 3600], ['h', 3600, 'min', 60],
                 ['min', 60, 's', 1]];
  const [unit, size, small, smallSize] = units.find(([, size]) => s >= size);
  const whole = Math.floor(s / size);
  const rest = Math.floor(s % size / smallSize);
  return whole < 10 && rest ? `${whole} ${unit} ${rest} ${small}` :
                              `${whole} ${unit}`;
}

function clock(date) {
  return date.toLocaleTimeString([], {hour12: false});
}

function plural(n, one, many) {
  return `${count.format(n)} ${n === 1 ? one : many}`;
}

// "/pkg.Service/Method" in two.
function splitMethod(method) {
  const slash = method.lastIndexOf('/');
  return slash > 0 ? [method.slice(slash + 1), method.slice(1, slash)] :
                     [method, ''];
}

// Text from elsewhere as it may stand between other words: characters that
// cannot be seen, or that reorder others, are written out; letters that run
// from right to left stay among themselves.
function foreign(text) {
  const visible = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (c) =>
      `\\u{${c.codePointAt(0).toString(16)}}`);
  return /[^\0-\x7f]/.test(visible) ? `\u2068${visible}\u2069` : visible;
}

function placeOf(b) {
  if (b.role === 'server') return 'server';
  return b.target ? `client of ${foreign(b.target)}` : 'client';
}

function shown(b) {
  return b.override === 'none' ? b.state : b.override;
}

// The state as the style sheet knows it.
function styleOf(state) {
  return state.startsWith('forced') ? 'forced' : state;
}

function nextOf(b) {
  if (b.override !== 'none') {
    return b.override_left_s === null ?
        'until released' : `${duration(b.override_left_s)} left`;
  }
  if (b.state === 'open') return `probe in ${duration(b.next_probe_s ?? 0)}`;
  if (b.state === 'half_open') return b.ramp ? 'recovering' : 'probing';
  return '';
}

function sentence(b) {
  const until = b.override_left_s === null ?
      'until released' : `for ${duration(b.override_left_s)} more`;
  const texts = {
    closed: 'Lets every call through.',
    open: `Refuses every call. A probe may go out in ${
        duration(b.next_probe_s ?? 0)}.`,
    half_open: b.ramp ?
        'Recovers: lets a growing share of the calls through.' :
        'Lets one call through as a probe, and refuses the others.',
    forced_open: `Refuses every call, ${until}: an operator says so.`,
    forced_closed:
        `Lets every call through, ${until}, whatever comes of it.`,
  };
  if (b.mode === 'off') return 'Is off: lets every call through, counts none.';
  const text = texts[shown(b)];
  return b.mode === 'shadow' ?
      `${text} In shadow mode: only counted, nothing is refused.` : text;
}

function reasonOf(reason) {
  return reason ? REASONS[reason] ?? reason : '—';
}

// --- Documents -------------------------------------------------------------

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function make(name, text, className) {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

const SVG = 'http://www.w3.org/2000/svg';

function makeShape(state) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(SVG, 'use');
  use.setAttribute('href', `#shape-${state}`);
  svg.append(use);
  return svg;
}

function setPill(pill, state) {
  if (pill.dataset.state === state) return;
  pill.dataset.state = state;
  pill.replaceChildren(makeShape(state), make('span', STATES[state]));
}

const SERIES = ['ok', 'failed', 'rejected'];

function makeChart() {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', `0 0 ${HISTORY} 100`);
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('role', 'img');
  for (const name of SERIES) {
    const path = document.createElementNS(SVG, 'path');
    path.setAttribute('class', name);
    svg.append(path);
  }
  return svg;
}

// The series one upon the other, the newest second at the right. Returns the
// highest sum.
function drawChart(svg, rates) {
  let top = 0;
  if (rates) {
    for (let i = 0; i < HISTORY; ++i) {
      top = Math.max(top, rates.ok[i] + rates.failed[i] + rates.rejected[i]);
    }
  }
  const base = new Float64Array(HISTORY);
  SERIES.forEach((name, at) => {
    const path = svg.children[at];
    let d = '';
    if (top > 0) {
      const y = (value) => (100 - value / top * 96).toFixed(1);
      let up = '';
      let back = '';
      let any = false;
      for (let i = 0; i < HISTORY; ++i) {
        const low = base[i];
        const high = low + rates[name][i];
        if (high > low) any = true;
        up += `${i ? 'V' : `M0 `}${y(high)}H${i + 1}`;
        back = `V${y(low)}H${i}${back}`;
        base[i] = high;
      }
      if (any) d = `${up}${back}Z`;
    }
    if (path.getAttribute('d') !== d) path.setAttribute('d', d);
  });
  return top;
}

// --- What is known ---------------------------------------------------------

const known = new Map();  // by key
let order = [];           // keys, filtered and sorted
let info = null;          // the last answer but for its breakers
let answeredAt = null;    // Date
let newestSecond = null;
let goneSince = null;

function keyOf(b) {
  return JSON.stringify([b.role, b.target, b.method]);
}

// Appends what came after the last answer; all of it if that is new to us.
function addRates(entry, rates, seconds, all) {
  if (all || !entry.rates) {
    if (!rates) {
      entry.rates = null;
      return;
    }
    entry.rates = {};
    for (const name of SERIES) entry.rates[name] = new Array(HISTORY).fill(0);
  }
  entry.idle = rates ? 0 : (entry.idle ?? 0) + seconds;
  if (entry.idle >= HISTORY) {
    entry.rates = null;
    return;
  }
  for (const name of SERIES) {
    const values = entry.rates[name];
    const more = rates ? rates[name] : new Array(seconds).fill(0);
    values.push(...more.slice(-HISTORY));
    values.splice(0, values.length - HISTORY);
  }
}

// Takes an answer. Returns what changed its state: [entry, before].
function take(answer) {
  const restarted = info !== null && info.started !== answer.started;
  if (restarted) {
    known.clear();
    elements.clear();
    rows.replaceChildren();
  }
  const all = restarted || newestSecond !== answer.after_second;
  const seconds = answer.newest_second - answer.after_second;
  const changes = [];
  const gone = new Set(known.keys());
  for (const b of answer.breakers) {
    const key = keyOf(b);
    gone.delete(key);
    let entry = known.get(key);
    if (!entry) {
      const [method, service] = splitMethod(b.method);
      entry = {key, version: 0, method: foreign(method)};
      entry.place = [service && foreign(service), placeOf(b)].filter(Boolean).
          join(' · ');
      entry.text = `${b.method} ${b.target} ${b.role}`.toLowerCase();
      known.set(key, entry);
    } else if (shown(entry.b) !== shown(b)) {
      changes.push([entry, shown(entry.b)]);
      entry.changedAt = performance.now();
    }
    entry.b = b;
    entry.state = shown(b);
    addRates(entry, b.rates, seconds, all);
    // Steps of two in the volume, and some play between them: the list is to
    // be read, not to be chased.
    const volume = Math.log2(b.calls_per_s + 1);
    if (!(Math.abs(volume - entry.volume) < 0.8)) {
      entry.volume = Math.round(volume);
    }
    const w = b.window;
    entry.badness =
        Math.round(20 * w.failures / Math.max(w.calls, w.min, 1));
    entry.rank = RANKS.indexOf(entry.state);
    ++entry.version;
  }
  for (const key of gone) known.delete(key);
  newestSecond = answer.newest_second;
  info = {...answer, breakers: null};
  return restarted ? [] : changes;
}

function compare(a, b) {
  return a.rank - b.rank || b.badness - a.badness || b.volume - a.volume ||
      (a.text < b.text ? -1 : a.text > b.text ? 1 : 0);
}

let filter = '';
let words = [];

function passes(entry) {
  const style = styleOf(entry.state);
  if (filter && style !== filter) return false;
  const text = `${entry.text} ${STATES[entry.state].toLowerCase()}`;
  return words.every((word) => text.includes(word));
}

let pointerMovedAt = -Infinity;

function sort() {
  const passing = [...known.values()].filter(passes);
  const still = performance.now() - pointerMovedAt < STILL_MS;
  if (still) {
    const place = new Map(order.map((key, i) => [key, i]));
    const at = (entry) => place.get(entry.key) ?? Infinity;
    passing.sort((a, b) => at(a) - at(b) || compare(a, b));
  } else {
    passing.sort(compare);
  }
  order = passing.map((entry) => entry.key);
}

// --- The list --------------------------------------------------------------

const rows = $('rows');
const elements = new Map();  // the rows that exist, by key
let rowHeight = 56;
let current = null;   // key of the row that Tab leads to
let selected = null;  // key of what the drawer shows

function measure() {
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  rowHeight = rem * parseFloat(
      getComputedStyle(document.documentElement).getPropertyValue('--row'));
}

function makeRow(key) {
  const row = $('row').content.firstElementChild.cloneNode(true);
  row.dataset.key = key;
  row.querySelector('.spark').append(makeChart());
  row.parts = {
    pill: row.querySelector('.pill'),
    mode: row.querySelector('.mode'),
    name: row.querySelector('.name b'),
    place: row.querySelector('.name small'),
    share: row.querySelector('.share b'),
    limit: row.querySelector('.share small'),
    bar: row.querySelector('.bar'),
    fill: row.querySelector('.bar i'),
    tick: row.querySelector('.bar u'),
    spark: row.querySelector('.spark svg'),
    rate: row.querySelector('.calls b'),
    rejected: row.querySelector('.rejected b'),
    rejectedRate: row.querySelector('.rejected small'),
    flight: row.querySelector('.flight b'),
    time: row.querySelector('.time b'),
    next: row.querySelector('.time small'),
    reason: row.querySelector('.reason'),
  };
  return row;
}

function writeRow(row, entry) {
  if (row.version === entry.version) return;
  row.version = entry.version;
  const b = entry.b;
  const p = row.parts;
  const state = entry.state;
  const changed = performance.now() - entry.changedAt < 2500;
  const className = `row ${styleOf(state)}${changed ? ' changed' : ''}`;
  if (row.className !== className) row.className = className;
  setPill(p.pill, state);
  setText(p.mode, b.mode === 'enforce' ? '' : b.mode);
  setText(p.name, entry.method);
  setText(p.place, entry.place);

  const {class: name, share, threshold} = b.nearest;
  const what = name === 'failure' ? '' : ` ${CLASSES[name]}`;
  setText(p.share, b.window.calls ? percent(share) + what : '—');
  let limit = threshold === null ? 'no limit' : `of ${percent(threshold)}`;
  if (!b.window.calls) {
    limit = 'no calls';
  } else if (!b.window.judged) {
    limit = 'few calls';
  }
  setText(p.limit, limit);
  p.fill.style.width = `${Math.min(share, 1) * 100}%`;
  p.tick.hidden = threshold === null;
  p.tick.style.left = `${(threshold ?? 0) * 100}%`;
  p.bar.classList.toggle(
      'reached', threshold !== null && b.window.judged && share >= threshold);

  drawChart(p.spark, entry.rates);
  const calls = rate(b.calls_per_s);
  setText(p.rate, calls);
  p.spark.setAttribute('aria-label', 'course of the last 2 minutes');
  setText(p.rejected, count.format(b.rejected));
  setText(p.rejectedRate, b.rejected_per_s ? rate(b.rejected_per_s) : '');
  setText(p.flight, count.format(b.in_flight));
  setText(p.time, duration(b.state_age_s));
  setText(p.next, nextOf(b));
  setText(p.reason, reasonOf(b.last_reason));
}

function visibleRange() {
  const top = rows.getBoundingClientRect().top;
  const first = Math.floor(-top / rowHeight);
  const last = Math.ceil((innerHeight - top) / rowHeight);
  return [Math.max(0, first), Math.min(order.length, Math.max(0, last))];
}

function drawRows() {
  const [first, last] = visibleRange();
  const wanted = [];
  const from = Math.max(0, first - SPARE_ROWS);
  const to = Math.min(order.length, last + SPARE_ROWS);
  for (let i = from; i < to; ++i) wanted.push(i);

  // The one that has the focus stays, wherever it is.
  const focused = document.activeElement?.dataset?.key;
  if (focused !== undefined) {
    const at = order.indexOf(focused);
    if (at >= 0 && at < from) wanted.unshift(at);
    if (at >= to) wanted.push(at);
  }
  const keys = new Set(wanted.map((i) => order[i]));
  for (const [key, row] of elements) {
    if (keys.has(key)) continue;
    elements.delete(key);
    row.remove();
  }

  // One row can be reached by Tab: where one was last, or the first to be seen.
  const stop = keys.has(current) ? current : order[first];
  let before = rows.firstElementChild;
  for (const i of wanted) {
    const key = order[i];
    let row = elements.get(key);
    if (!row) {
      row = makeRow(key);
      elements.set(key, row);
    }
    writeRow(row, known.get(key));
    if (row.at !== i || row.height !== rowHeight) {
      row.at = i;
      row.height = rowHeight;
      row.style.transform = `translateY(${i * rowHeight}px)`;
      row.setAttribute('aria-rowindex', i + 2);
    }
    const tabIndex = key === stop ? 0 : -1;
    if (row.tabIndex !== tabIndex) row.tabIndex = tabIndex;
    row.setAttribute('aria-selected', key === selected);
    if (row === before) {
      before = before.nextElementSibling;
    } else {
      // In the document as on the screen, for those who hear it.
      const hadFocus = row === document.activeElement;
      rows.insertBefore(row, before);
      if (hadFocus) row.focus({preventScroll: true});
    }
  }
}

function drawList() {
  const height = `${order.length * rowHeight}px`;
  if (rows.style.height !== height) rows.style.height = height;
  $('grid').setAttribute('aria-rowcount', order.length + 1);
  $('grid').hidden = order.length === 0;
  $('nothing').hidden = order.length !== 0 || info === null;
  setText($('nothing'), known.size === 0 ?
      'No method has been called yet: a breaker appears with the first call.' :
      'No breaker fits the search.');
  drawRows();
}

function drawHead() {
  const counts = {'': known.size};
  for (const entry of known.values()) {
    const style = styleOf(entry.state);
    counts[style] = (counts[style] ?? 0) + 1;
  }
  for (const button of $('filters').children) {
    const of = button.dataset.filter;
    const n = counts[of] ?? 0;
    button.classList.toggle('some', n > 0);
    setText(button.lastElementChild, count.format(n));
    button.setAttribute('aria-pressed', of === filter);
  }
  const alarms = [];
  if (counts.open) alarms.push(`${counts.open} open`);
  if (counts.forced) alarms.push(`${counts.forced} forced`);
  const name = foreign(info?.title || location.host);
  const title = `${alarms.length ? `(${alarms.join(', ')}) ` : ''}${
      name} – circuit breakers`;
  if (document.title !== title) document.title = title;
  setText($('title'), name);
  $('statistics').hidden = !info?.statistics;
  const lost = [];
  if (info?.settings_error) {
    lost.push('The settings file as it is now is not in force: ' +
              `${foreign(info.settings_error)}.`);
  }
  if (info?.overflowed) {
    lost.push('There are more methods than breakers: the rest shares one ' +
              'named “other”.');
  }
  if (info?.skipped) {
    lost.push(`${plural(info.skipped, 'change was', 'changes were')} lost: ` +
              'the queue was full.');
  }
  $('lost').hidden = lost.length === 0;
  setText($('lost'), lost.join(' '));
}

function draw() {
  sort();
  drawHead();
  drawList();
}

// --- What is said aloud ----------------------------------------------------

let unsaid = new Map();  // by key: the entry
let saidAt = -Infinity;

// One or two changes by name, more of them as a number, and not too often.
function announce(changes) {
  for (const [entry] of changes) unsaid.set(entry.key, entry);
  if (unsaid.size === 0 || performance.now() - saidAt < QUIET_MS) return;
  saidAt = performance.now();
  const entries = [...unsaid.values()];
  unsaid = new Map();
  if (entries.length <= 2) {
    setText($('said'), entries.map((entry) =>
        `${entry.method}: ${STATES[entry.state]}.`).join(' '));
    return;
  }
  const parts = [];
  for (const [state, word] of Object.entries(STATES)) {
    const n = entries.filter((entry) => entry.state === state).length;
    if (n) parts.push(`${n} ${word.toLowerCase()}`);
  }
  setText($('said'), `${entries.length} breakers changed: ${
      parts.join(', ')}.`);
}

// --- The drawer ------------------------------------------------------------

const drawer = $('drawer');
const drawn = new Map();  // by part: the JSON it shows

// Draws a part of the drawer if what it shows has changed.
function drawPart(id, data, drawIt) {
  const json = JSON.stringify(data);
  if (drawn.get(id) === json) return;
  drawn.set(id, json);
  drawIt($(id), data);
}

// An element whose text may be broken after the signs in names.
function makeName(name, text) {
  const element = make(name);
  text.split(/(?<=[_:/.])/).forEach((part, i) => {
    if (i) element.append(document.createElement('wbr'));
    element.append(part);
  });
  return element;
}

function drawTable(table, headings, lines) {
  const head = make('thead');
  const top = head.appendChild(make('tr'));
  for (const heading of headings) {
    const cell = top.appendChild(make('th', heading));
    cell.scope = 'col';
  }
  const body = make('tbody');
  for (const {cells, className} of lines) {
    const line = body.appendChild(make('tr', undefined, className));
    cells.forEach((cell, i) => {
      const element = line.appendChild(makeName(i ? 'td' : 'th', cell));
      if (!i) element.scope = 'row';
    });
  }
  table.replaceChildren(head, body);
}

function drawChange(change) {
  const item = make('li');
  const date = new Date(change.time_s * 1000);
  const today = date.toDateString() === new Date().toDateString();
  const time = make('time', today ? clock(date) :
      `${date.toLocaleDateString()} ${clock(date)}`);
  time.dateTime = date.toISOString();
  const name = (state) => STATES[state] ?? state;
  item.append(time, make('b', change.from === change.to ? name(change.to) :
      `${name(change.from)} → ${name(change.to)}`));
  item.append(make('small', reasonOf(change.reason)));
  if (change.who !== undefined) {
    const by = [change.act.replaceAll('_', ' '), foreign(change.detail)].
        filter(Boolean).join(' ');
    item.append(make('small', `${by}, by ${foreign(change.who)}${
        change.comment ? `: “${foreign(change.comment)}”` : ''}`));
  }
  return item;
}

function drawDrawerHead(entry) {
  const b = entry.b;
  const pill = $('one-pill');
  pill.className = `pill ${styleOf(entry.state)}`;
  setPill(pill, entry.state);
  setText($('one-name'), entry.method);
  setText($('one-of'), entry.place);
  setText($('one-says'), sentence(b));
  setText($('one-why'), b.last_reason ?
      `Last change ${duration(b.state_age_s)} ago. ${
          reasonOf(b.last_reason)}.` :
      `Unchanged for ${duration(b.state_age_s)}.`);
  const top = drawChart($('chart').firstElementChild, entry.rates);
  const label = top ? `top ${rate(top)}, now ${rate(b.calls_per_s)}` :
                      'no calls';
  setText($('chart-top'), label);
  $('chart').firstElementChild.setAttribute('aria-label', label);
  $('acts').hidden = !info.may_act;
  $('read-only').hidden = info.may_act;
  const release = drawer.querySelector('[data-act="release"]');
  release.disabled = b.override === 'none' || acting;
}

function drawDetails(details) {
  const b = details.breaker;
  drawPart('shares', [details.shares, b.window], (table) => drawTable(
      table, [`of ${plural(b.window.calls, 'call', 'calls')}`, 'calls',
              'share', 'limit'],
      details.shares.map((share) => ({
        cells: [CLASSES[share.class], count.format(share.calls),
                percent(share.share),
                share.threshold === null ? 'off' : percent(share.threshold)],
        className: b.window.judged && share.threshold !== null &&
            share.share >= share.threshold ? 'reached' : '',
      }))));
  drawPart('changes', details.transitions, (list, changes) =>
      list.replaceChildren(...(changes.length ?
          changes.map(drawChange) : [make('li', 'None yet.', 'dim')])));
  const sourced = details.settings.some((setting) => setting.source);
  drawPart('settings', details.settings, (table, settings) => drawTable(
      table, ['setting', 'value', ...(sourced ? ['from'] : [])],
      settings.map(({field, value, default: usual, source}) => ({
        cells: [field, value, ...(sourced ? [foreign(source)] : [])],
        className: value === usual ? '' : 'own',
      }))));
  const rejected = details.rejected_by;
  const time = details.time_in_state_s;
  drawPart('totals', [details.lifetime, rejected, time,
                      b.in_flight, b.shadow_rejected], (table) => drawTable(
      table, ['what', 'how much'], [
        ...Object.entries(details.lifetime).map(([outcome, n]) =>
            [outcome.replaceAll('_', ' '), count.format(n)]),
        ['in flight now', count.format(b.in_flight)],
        ['rejected while open', count.format(rejected.open)],
        ['rejected while half-open', count.format(rejected.half_open_limit)],
        ['rejected while forced open', count.format(rejected.forced_open)],
        ['would have been rejected (shadow)',
         count.format(b.shadow_rejected)],
        ...Object.entries(time).filter(([, s]) => s > 0).map(([state, s]) =>
            [`time ${STATES[state].toLowerCase()}`, duration(s)]),
      ].map((cells) => ({cells, className: ''}))));
}

async function askDetails() {
  const entry = known.get(selected);
  if (!entry) return;
  const {role, target, method} = entry.b;
  const query = new URLSearchParams({role, target, method});
  const details = await ask(`breaker.json?${query}`);
  if (entry.key === selected) drawDetails(details);
}

function openDrawer(key) {
  const entry = known.get(key);
  if (!entry) return;
  if (selected !== key) {
    drawn.clear();
    for (const id of ['shares', 'changes', 'settings', 'totals']) {
      $(id).replaceChildren();
    }
    setText($('act-result'), '');
    drawer.scrollTop = 0;
  }
  selected = current = key;
  drawer.hidden = false;
  document.body.classList.add('with-drawer');
  setNarrow();
  drawDrawerHead(entry);
  drawRows();
  $('one-name').focus({preventScroll: true});
  askDetails().catch(() => {});
}

function closeDrawer() {
  if (drawer.hidden) return;
  const key = selected;
  selected = null;
  drawer.hidden = true;
  document.body.classList.remove('with-drawer');
  setNarrow();
  if (order.includes(key)) {
    focusRow(order.indexOf(key));
  } else {
    drawRows();
    $('search').focus();
  }
}

// On a small screen the drawer covers all: then the rest is out of reach.
const narrow = matchMedia('(max-width: 52rem)');
function setNarrow() {
  const covered = narrow.matches && !drawer.hidden;
  document.querySelector('main').inert = covered;
  document.querySelector('header').inert = covered;
  drawer.setAttribute('aria-modal', covered);
}

// --- Acts ------------------------------------------------------------------

let acting = false;

async function act(name) {
  const entry = known.get(selected);
  if (!entry || acting) return;
  const {role, target, method} = entry.b;
  const wish = {role, target, method, comment: $('comment').value};
  const ttl = $('ttl').value;
  if (name.startsWith('force') && ttl) wish.ttl_s = Number(ttl);
  const result = $('act-result');
  const buttons = drawer.querySelectorAll('.buttons button');
  const pressed = document.activeElement;
  acting = true;
  buttons.forEach((button) => button.disabled = true);
  result.className = '';
  setText(result, 'Asking the server…');
  try {
    const response = await fetch(name, {
      method: 'POST',
      headers: {'Content-Type': 'application/json', 'X-Fusebox-Act': name},
      body: JSON.stringify(wish),
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.error);
    setText(result, `Done: ${STATES[shown(answer.breaker)]} now.`);
  } catch (error) {
    result.className = 'bad';
    setText(result, `Not done: ${error.message}.`);
  }
  acting = false;
  buttons.forEach((button) => button.disabled = false);
  await poll();
  if (document.activeElement === document.body) {
    (pressed?.disabled ? $('one-name') : pressed)?.focus();
  }
}

// --- Asking ----------------------------------------------------------------

async function ask(path) {
  const response =
      await fetch(path, {signal: AbortSignal.timeout(ANSWER_MS)});
  if (!response.ok) throw new Error(`status ${response.status}`);
  return response.json();
}

let asking = null;

// Asks, unless that is under way; then waits for it.
function poll() {
  asking ??= pollOnce().finally(() => asking = null);
  return asking;
}

async function pollOnce() {
  let changes = [];
  try {
    changes = take(await ask(
        newestSecond === null ? 'list.json' :
                                `list.json?after=${newestSecond}`));
    answeredAt = new Date();
    goneSince = null;
    setText($('gone-text'), '');
  } catch {
    goneSince ??= answeredAt ?? new Date();
    setText($('gone-text'),
            'No answer from the server. Asking again every second.');
  }
  const gone = goneSince !== null;
  $('gone').hidden = !gone;
  document.body.classList.toggle('lost', gone);
  if (gone) {
    const since = duration((Date.now() - goneSince) / 1000);
    setText($('gone-since'), info ?
        `What you see is as of ${clock(goneSince)}, ${since} ago.` : '');
    setText($('clock'), 'no answer');
    return;
  }
  setText($('clock'), `as of ${clock(answeredAt)}`);
  draw();
  announce(changes);
  const entry = known.get(selected);
  if (entry) {
    drawDrawerHead(entry);
    await askDetails().catch(() => {});
  } else if (selected !== null) {
    closeDrawer();  // its breaker is gone
  }
}

async function pollForEver() {
  for (;;) {
    const started = performance.now();
    await poll();
    const rest = POLL_MS - (performance.now() - started);
    await new Promise((done) => setTimeout(done, Math.max(rest, 200)));
  }
}

// --- Hands -----------------------------------------------------------------

function focusRow(at) {
  if (order.length === 0) return;
  at = Math.min(Math.max(at, 0), order.length - 1);
  current = order[at];
  const head = document.querySelector('.head').offsetHeight;
  const top = rows.getBoundingClientRect().top + at * rowHeight;
  if (top < head) {
    scrollBy(0, top - head);
  } else if (top + rowHeight > innerHeight) {
    scrollBy(0, top + rowHeight - innerHeight);
  }
  drawRows();
  elements.get(current)?.focus({preventScroll: true});
}

function onRowKey(event) {
  const row = event.target.closest('[data-key]');
  if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
  const at = order.indexOf(row.dataset.key);
  const page = Math.max(1, Math.floor(innerHeight / rowHeight) - 2);
  const moves = {
    ArrowDown: at + 1,
    ArrowUp: at - 1,
    PageDown: at + page,
    PageUp: at - page,
    Home: 0,
    End: order.length - 1,
  };
  if (event.key in moves) {
    focusRow(moves[event.key]);
  } else if (event.key === 'Enter' || event.key === ' ') {
    openDrawer(row.dataset.key);
  } else {
    return;
  }
  event.preventDefault();
}

for (const [value, text, shape] of FILTERS) {
  const button = make('button', undefined, value);
  button.type = 'button';
  button.dataset.filter = value;
  if (shape) button.append(makeShape(shape));
  button.append(make('span', text), make('b', '0'));
  button.addEventListener('click', () => {
    filter = value;
    draw();
  });
  $('filters').append(button);
}
$('chart').append(makeChart());
$('chart-title').append(make('span'));
$('chart-title').lastElementChild.id = 'chart-top';

$('search').addEventListener('input', () => {
  words = $('search').value.toLowerCase().split(/\s+/).filter(Boolean);
  draw();
});
rows.addEventListener('click', (event) => {
  const row = event.target.closest('[data-key]');
  if (row) openDrawer(row.dataset.key);
});
rows.addEventListener('keydown', onRowKey);
rows.addEventListener('focusin', (event) => {
  current = event.target.closest('[data-key]')?.dataset.key ?? current;
});
rows.addEventListener('pointermove', () => pointerMovedAt = performance.now(),
                      {passive: true});
$('close').addEventListener('click', closeDrawer);
$('act').addEventListener('submit', (event) => event.preventDefault());
$('act').addEventListener('click', (event) => {
  const button = event.target.closest('[data-act]');
  if (button) act(button.dataset.act);
});
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') closeDrawer();
  if (event.key === '/' && !event.target.closest('input, select')) {
    event.preventDefault();
    $('search').focus();
  }
});

let drawSoon = false;
function onView() {
  if (drawSoon) return;
  drawSoon = true;
  requestAnimationFrame(() => {
    drawSoon = false;
    drawRows();
  });
}
addEventListener('scroll', onView, {passive: true});
addEventListener('resize', () => {
  measure();
  setNarrow();
  drawList();
});

measure();
pollForEver();
