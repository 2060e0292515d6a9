// Looks at the status page as a person does, and works it. Called with the URLs
// of three servers: one whose page may act, the same breakers read-only, and a
// thousand breakers. Screenshots go where Bazel keeps the outputs of tests.

'use strict';

const assert = require('node:assert');
const path = require('node:path');
const {after, before, test} = require('node:test');
const {chromium} = require('playwright-core');

const [ACTING, READ_ONLY, CROWD] = process.argv.slice(2);
// For what takes far less, unless the machine is busy.
const PATIENCE_MS = 60000;

const LOOKUP = '/orders.v1.Orders/Lookup';
const FLAKY = '/orders.v1.Flaky/Confirm';
const TRIAL = '/orders.v1.Trial/Search';

let browser;
const complaints = [];  // what the browser said against the page

before(async () => {
  browser = await chromium.launch({executablePath: '/usr/bin/chromium'});
});
after(() => browser?.close());

async function open(url, options = {}) {
  const context = await browser.newContext(
      {viewport: {width: 1280, height: 800}, ...options});
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) {
      complaints.push(message.text());
    }
  });
  await page.goto(`${url}/breakers/`);
  await page.waitForSelector('#rows .row');
  return page;
}

// Returns what `look` returns in the page, once that is true.
async function until(page, what, look, argument) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const seen = await page.evaluate(look, argument);
    if (seen) return seen;
    assert(Date.now() < end, `this did not happen: ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

// Has the method called a hundred times.
async function call(method, outcome) {
  const query = new URLSearchParams({[method]: outcome});
  await fetch(`${ACTING}/test/call?${query}`, {method: 'POST'});
}

const nameOf = (method) => method.slice(method.lastIndexOf('/') + 1);

// What the row of a method shows.
function rowOf(page, method) {
  return page.evaluate((name) => {
    const row = [...document.querySelectorAll('#rows .row')].find(
        (element) => element.querySelector('.name b').textContent === name);
    if (!row) return null;
    const text = (selector) => row.querySelector(selector).textContent.trim();
    return {
      state: text('.pill'),
      shape: row.querySelector('.pill use').getAttribute('href'),
      colour: getComputedStyle(row.querySelector('.pill')).color,
      mode: text('.mode'),
      share: text('.share b'),
      next: text('.time small'),
      reason: text('.reason'),
      rejected: text('.rejected b'),
      at: Number(row.getAttribute('aria-rowindex')) - 2,
    };
  }, nameOf(method));
}

// The row, once it shows that state.
async function untilState(page, method, state) {
  await until(page, `${method} is ${state}`, ([name, wanted]) =>
      [...document.querySelectorAll('#rows .row')].some((row) =>
          row.querySelector('.name b').textContent === name &&
          row.querySelector('.pill').textContent === wanted),
              [nameOf(method), state]);
  return rowOf(page, method);
}

async function openDrawer(page, method) {
  await page.locator('#rows .row', {
    has: page.locator('.name b', {hasText: nameOf(method)}),
  }).click();
  await page.waitForSelector('#settings tbody tr');
}

// The place of the row that has the focus after that key, before the list may
// be sorted anew.
function rowAfter(page, key) {
  return page.evaluate((pressed) => {
    document.activeElement.dispatchEvent(
        new KeyboardEvent('keydown', {key: pressed, bubbles: true}));
    return document.activeElement.getAttribute('aria-rowindex') - 2;
  }, key);
}

async function shoot(page, name) {
  const place = process.env.TEST_UNDECLARED_OUTPUTS_DIR;
  if (!place) return;
  await page.screenshot({path: path.join(place, `${name}.png`)});
}

// Every text that is to be seen and has less contrast than 4.5 to 1 (WCAG 2.2,
// success criterion 1.4.3); beside it how many there were.
function contrasts(page) {
  return page.evaluate(() => {
    const channels = (colour) => {
      const numbers = colour.match(/[\d.]+/g).map(Number);
      return [...numbers.slice(0, 3), numbers[3] ?? 1];
    };
    const over = (top, under) => [0, 1, 2].map(
        (i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
    const backOf = (element) => {
      const layers = [];
      for (let e = element; e; e = e.parentElement) {
        const layer = channels(getComputedStyle(e).backgroundColor);
        layers.push(layer);
        if (layer[3] === 1) break;
      }
      return layers.reverse().reduce((under, top) => over(top, under),
                                     [255, 255, 255, 1]);
    };
    const luminance = (colour) => {
      const [r, g, b] = colour.slice(0, 3).map((value) => {
        const c = value / 255;
        return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ratio = (a, b) => {
      const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
      return (high + 0.05) / (low + 0.05);
    };
    let seen = 0;
    const low = [];
    const look = (element, text, colour) => {
      const back = backOf(element);
      const found = ratio(over(channels(colour), back), back);
      ++seen;
      if (found < 4.5) low.push(`${text.trim()}: ${found.toFixed(2)}`);
    };
    for (const element of document.body.querySelectorAll('*')) {
      if (element.closest('.unseen, svg, script, template')) continue;
      if (!element.checkVisibility()) continue;
      const style = getComputedStyle(element);
      if (element.placeholder) {
        look(element, element.placeholder,
             getComputedStyle(element, '::placeholder').color);
      }
      for (const node of element.childNodes) {
        if (node.nodeType === Node.TEXT_NODE && node.data.trim()) {
          look(element, node.data, style.color);
        }
      }
    }
    return {seen, low};
  });
}

test('says the state in words, shape and colour, the worst first', async () => {
  const page = await open(ACTING);
  const before = await rowOf(page, LOOKUP);
  assert.equal(before.state, 'Closed');
  await call(LOOKUP, 'system_error');
  await call(FLAKY, 'timeout');
  await call(TRIAL, 'unknown_error');
  const opened = await untilState(page, LOOKUP, 'Open');
  const half = await untilState(page, FLAKY, 'Half-open');
  const shadow = await untilState(page, TRIAL, 'Open');
  assert.deepEqual([before.shape, opened.shape, half.shape],
                   ['#shape-closed', '#shape-open', '#shape-half_open']);
  const colours = new Set([before, opened, half].map((row) => row.colour));
  assert.equal(colours.size, 3);
  assert.equal(shadow.mode, 'shadow');
  assert.match(opened.next, /^probe in (1 h|59 min)/);
  assert.equal(opened.reason, 'Too many failures');
  await until(page, 'open ones come first', () =>
      [...document.querySelectorAll('#rows .row .pill')].slice(0, 3).
          map((pill) => pill.textContent).join() === 'Open,Open,Half-open');
  await until(page, 'it is said aloud', () =>
      /Lookup: Open|breakers changed/.test(
          document.getElementById('said').textContent));
  assert.match(await page.title(), /^\(2 open\) orders on web-3/);
  await call(LOOKUP, 'ok');
  await until(page, 'rejected calls are counted', () =>
      [...document.querySelectorAll('#rows .rejected b')].some(
          (cell) => Number(cell.textContent) >= 100));
  await shoot(page, 'states');
  await page.context().close();
});

test('the calls per second move', async () => {
  const page = await open(ACTING);
  const course = () => [...document.querySelectorAll('#rows .spark path.ok')].
      map((line) => line.getAttribute('d')).find((d) => d) ?? '';
  const first = await until(page, 'calls are shown', course);
  await until(page, 'the line moves on', (drawn) => {
    const now = [...document.querySelectorAll('#rows .spark path.ok')].
        map((line) => line.getAttribute('d')).find((d) => d);
    return now && now !== drawn;
  }, first);
  await page.context().close();
});

test('an operator forces a breaker open and releases it', async () => {
  const page = await open(ACTING);
  const method = '/stock.v1.Stock/Reserve';
  await openDrawer(page, method);
  await page.selectOption('#ttl', '14400');
  await page.fill('#comment', 'INC-7: <b>stock is down</b>');
  await page.click('[data-act="force-open"]');
  const forced = await untilState(page, method, 'Forced open');
  assert.equal(forced.shape, '#shape-forced_open');
  assert.match(forced.next, /^(4 h|3 h 59 min) left$/);
  assert.match(await page.textContent('#act-result'), /^Done: Forced open/);
  const change = await until(page, 'the history tells who did it', () =>
      document.querySelector('#changes li').textContent.includes('by ') &&
      document.querySelector('#changes li').textContent);
  assert.match(change, /Closed → Forced open/);
  assert.match(change, /127\.0\.0\.1/);
  assert.ok(change.includes('INC-7: <b>stock is down</b>'), change);
  await shoot(page, 'forced');

  await page.click('[data-act="release"]');
  await untilState(page, method, 'Closed');
  await page.click('[data-act="force-closed"]');
  const closed = await untilState(page, method, 'Forced closed');
  assert.equal(closed.shape, '#shape-forced_closed');
  await page.click('[data-act="reset"]');
  await untilState(page, method, 'Closed');
  await page.context().close();
});

test('what the server refuses is said', async () => {
  const page = await open(ACTING);
  await openDrawer(page, '/orders.v1.Orders/Place');
  await page.route('**/reset', (route) => route.continue(
      {headers: {...route.request().headers(), 'x-fusebox-act': ''}}));
  await page.click('[data-act="reset"]');
  const said = await until(page, 'the refusal is shown', () => {
    const text = document.getElementById('act-result').textContent;
    return text.startsWith('Not done') && text;
  });
  assert.match(said, /X-Fusebox-Act/);
  complaints.length = 0;  // the browser's own line about the 403
  await page.context().close();
});

test('names from the wire stay text', async () => {
  const page = await open(ACTING);
  const name = '"><b onclick=window.hacked=1>x';
  const row = page.locator('#rows .row', {hasText: name});
  assert.equal(await row.locator('.name b').textContent(), name);
  assert.match(await row.locator('.name small').textContent(),
               /<script>window.hacked=1<\/script>.*<img src=x onerror/);
  await row.click();
  await until(page, 'the drawer tells of it', (text) =>
      document.getElementById('one-name').textContent === text, name);
  await page.waitForSelector('#settings tbody tr');
  assert.match(await page.textContent('#rows'), /evil\.\\u\{202e\}/);
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  assert.equal(await page.locator('img, [onclick], body script').count(), 0);
  await shoot(page, 'hostile');
  await page.context().close();
});

test('a read-only page offers nothing to do, and the server refuses',
     async () => {
  const page = await open(READ_ONLY);
  await openDrawer(page, LOOKUP);
  assert.equal(await page.isVisible('#acts'), false);
  assert.equal(await page.isVisible('#read-only'), true);
  await shoot(page, 'read_only');
  const status = await page.evaluate(async () => (await fetch('reset', {
    method: 'POST',
    headers: {'Content-Type': 'application/json', 'X-Fusebox-Act': 'reset'},
    body: '{"role": "server", "method": "/orders.v1.Orders/Lookup"}',
  })).status);
  assert.equal(status, 403);
  complaints.length = 0;
  await page.context().close();
});

test('everything can be done from the keyboard', async () => {
  const page = await open(ACTING);
  const focused = () => page.evaluate(() =>
      document.activeElement.querySelector?.('.name b')?.textContent ??
      document.activeElement.id);
  await page.keyboard.press('/');
  assert.equal(await focused(), 'search');
  await page.keyboard.press('Tab');
  const first = await focused();
  await page.keyboard.press('ArrowDown');
  const second = await focused();
  assert.notEqual(first, second);
  await page.keyboard.press('End');
  assert.notEqual(await focused(), second);
  assert.equal(await rowAfter(page, 'Home'), 0);
  await page.keyboard.press('ArrowDown');

  const chosen = await focused();
  await page.keyboard.press('Enter');
  assert.equal(await focused(), 'one-name');
  assert.equal(await page.textContent('#one-name'), chosen);
  await page.keyboard.press('Tab');  // on to what can be done
  assert.equal(await focused(), 'close');
  await page.keyboard.press('Tab');
  assert.equal(await focused(), 'ttl');
  await page.keyboard.press('Tab');
  assert.equal(await focused(), 'comment');
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.dataset.act),
               'force-open');
  await page.keyboard.press('Escape');
  assert.equal(await page.isVisible('#drawer'), false);
  assert.equal(await focused(), chosen);

  await page.keyboard.press('/');
  await page.keyboard.type('reserve');
  assert.equal(await page.locator('#rows .row').count(), 1);
  await page.keyboard.type(' nothing');
  assert.equal(await page.textContent('#nothing'),
               'No breaker fits the search.');
  await page.context().close();
});

test('says that the server is gone, and when it is back', async () => {
  const page = await open(ACTING);
  await page.route('**/list.json*', (route) => route.abort());
  await page.waitForSelector('#gone:visible');
  assert.match(await page.textContent('#gone-text'), /No answer/);
  await until(page, 'since when', () =>
      /as of \d\d:\d\d:\d\d/.test(
          document.getElementById('gone-since').textContent));
  assert.equal((await contrasts(page)).low.join(), '');
  await shoot(page, 'gone');
  await page.unroute('**/list.json*');
  await page.waitForSelector('#gone', {state: 'hidden'});
  complaints.length = 0;  // the browser's own lines about the failures
  await page.context().close();
});

for (const colorScheme of ['light', 'dark']) {
  for (const width of [360, 800, 1280, 1920]) {
    test(`fits ${width} pixels, ${colorScheme}`, async () => {
      const height = width < 500 ? 740 : 900;
      const page =
          await open(ACTING, {viewport: {width, height}, colorScheme});
      const fits = async (what) => {
        const wide = await page.evaluate(
            () => document.documentElement.scrollWidth - innerWidth);
        assert.ok(wide <= 0, `${what} is ${wide} pixels too wide`);
        const {seen, low} = await contrasts(page);
        assert.ok(seen > 30, `${what}: only ${seen} texts`);
        assert.deepEqual(low, [], what);
        await shoot(page, `${what}_${width}_${colorScheme}`);
      };
      await page.keyboard.press('/');
      await fits('list');
      await page.evaluate(() => document.activeElement.blur());
      await openDrawer(page, LOOKUP);
      await fits('drawer');
      const right = await page.evaluate(() =>
          document.getElementById('drawer').getBoundingClientRect().right);
      assert.ok(right <= width, `the drawer ends at ${right}`);
      await page.evaluate(() => document.getElementById('drawer').scrollBy(
          0, document.getElementById('acts').offsetTop));
      await fits('drawer_below');
      await page.context().close();
    });
  }
}

test('nothing moves for those who do not want it', async () => {
  const animation = async (reducedMotion) => {
    const page = await open(ACTING, {reducedMotion});
    const name = await page.evaluate(() => {
      const row = document.querySelector('#rows .row');
      row.classList.add('changed');
      return getComputedStyle(row).animationName;
    });
    await page.context().close();
    return name;
  };
  assert.equal(await animation('no-preference'), 'changed');
  assert.equal(await animation('reduce'), 'none');
});

test('a thousand breakers', async () => {
  const page = await open(CROWD);
  await until(page, 'all are there', () =>
      document.getElementById('grid').getAttribute('aria-rowcount') === '1001');
  assert.ok(await page.locator('#rows .row').count() < 60);
  await shoot(page, 'crowd');

  // What it costs to follow them and to scroll. No judgement: the machine may
  // be busy.
  const frames = await page.evaluate(async () => {
    const times = [];
    const tasks = [];
    new PerformanceObserver((list) => tasks.push(
        ...list.getEntries().map((entry) => entry.duration))).observe(
            {entryTypes: ['longtask']});
    let last = performance.now();
    const end = last + 4000;
    while (last < end) {
      const now = await new Promise(requestAnimationFrame);
      times.push(now - last);
      last = now;
      scrollBy(0, 40);
    }
    times.sort((a, b) => a - b);
    const at = (share) =>
        times[Math.floor(share * (times.length - 1))].toFixed(1);
    return `${times.length} frames in 4 s: median ${at(0.5)} ms, ` +
        `95 % ${at(0.95)} ms, longest ${at(1)} ms; ${
            tasks.length} tasks over 50 ms, longest ${
            Math.max(0, ...tasks).toFixed(0)} ms`;
  });
  console.log(frames);

  await page.evaluate(() => scrollTo(0, 0));
  await page.keyboard.press('/');
  await page.keyboard.press('Tab');
  assert.equal(await rowAfter(page, 'End'), 999);
  await page.keyboard.press('/');
  await page.keyboard.type('service7 method149');
  await until(page, 'the search finds it', () =>
      document.querySelectorAll('#rows .row').length === 1);
  await page.context().close();
});

test('the page asks nobody else, and the browser has nothing against it',
     async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  const asked = new Set();
  page.on('request', (request) => asked.add(new URL(request.url()).origin));
  const response = await page.goto(`${ACTING}/breakers/`);
  await page.waitForSelector('#rows .row');
  assert.match(response.headers()['content-security-policy'],
               /default-src 'none'; script-src 'self'; style-src 'self'/);
  // The policy holds: a script within the page does not run.
  await page.evaluate(() => {
    const script = document.createElement('script');
    try {
      script.textContent = 'window.hacked = 1';
      document.body.append(script);
    } catch {
      // Trusted types are in the way as well.
    }
  });
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  assert.deepEqual([...asked], [ACTING]);
  assert.deepEqual(complaints, []);
  await context.close();
});
