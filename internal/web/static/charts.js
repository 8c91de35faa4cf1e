// Charts that answer to the mouse: each figure with data-graph in an element with data-charts
// is drawn from graphs.json when it comes into sight, all over the same range of time.
import {axis, clock, date, format, moment, timeTicks} from './format.js';

const dark = matchMedia('(prefers-color-scheme: dark)');
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const SPANS = {'30m': 1800, '1h': 3600, '3h': 10800, '6h': 21600, '12h': 43200, '1d': 86400, '3d': 259200, '1w': 604800, '1mo': 2592000, '3mo': 7862400, '1y': 31536000};
const DEFAULT = '1h', SHORTEST = 300, BATCH = 12;

// stack returns what is drawn of each series: {base, top}, null where there is no value. Below
// zero there is a stack of its own. Hidden series take no room.
function stack(series, hidden) {
  const n = Math.max(0, ...series.map(s => s.values.length));
  const above = new Float64Array(n), below = new Float64Array(n);
  return series.map((s, i) => {
    if (!s.stacked || hidden.has(i)) return {base: null, top: s.values};
    const base = new Array(n).fill(0), top = new Array(n).fill(null);
    s.values.forEach((v, j) => {
      if (v === null) return;
      const sum = v < 0 ? below : above;
      base[j] = sum[j];
      sum[j] += v;
      top[j] = sum[j];
    });
    return {base, top};
  });
}

// A Chart is one figure.
class Chart {
  constructor(room, figure) {
    this.room = room;
    this.figure = figure;
    this.name = figure.dataset.graph;
    this.plot = figure.querySelector('[data-plot]');
    this.legend = figure.querySelector('[data-legend]');
    this.at = figure.querySelector('[data-at]');
    this.link = figure.querySelector('[data-graph-link]');
    this.hidden = new Set(); // positions of series that the visitor turned off
    this.inSight = false;
    this.stale = true;
    this.plot.tabIndex = 0;
    this.plot.addEventListener('keydown', e => this.key(e));
  }

  forget() {
    this.stale = true;
    delete this.figure.dataset.points;
    delete this.figure.dataset.last;
  }

  show(graph) {
    const same = this.graph && this.graph.series.length === graph.series.length && this.graph.series.every((s, i) => s.metric === graph.series[i].metric);
    if (!same) this.hidden.clear();
    this.graph = graph;
    this.stale = false;
    this.draw(!same);
  }

  draw(rebuild) {
    const {graph, room} = this;
    const n = graph.series.length ? graph.series[0].values.length : 0;
    const times = Array.from({length: n}, (_, i) => graph.start + i * graph.step);
    this.curves = stack(graph.series, this.hidden);
    const shown = graph.series.map((_, i) => !this.hidden.has(i));
    let points = 0, low = Infinity, high = -Infinity;
    graph.series.forEach((s, i) => {
      if (!shown[i]) return;
      this.curves[i].top.forEach((v, j) => {
        if (v === null) return;
        points++;
        low = Math.min(low, v, this.curves[i].base ? this.curves[i].base[j] : v);
        high = Math.max(high, v);
      });
    });
    if (rebuild) this.buildLegend();
    this.empty(points === 0);
    if (points) {
      const rows = Math.max(2, Math.min(8, Math.round(this.plot.clientHeight / 48)));
      this.axis = axis(low, high, rows, graph.unit, graph.series.some((s, i) => s.stacked && shown[i]));
      const data = [times, ...this.curves.map((c, i) => shown[i] ? c.top : c.top.map(() => null))];
      const looks = [dark.matches, this.plot.clientWidth, graph.series.length].join();
      if (!this.u || rebuild || looks !== this.looks) {
        this.destroy();
        this.looks = looks;
        this.u = new uPlot(this.options(), data, this.plot);
      } else {
        this.u.setData(data, true);
      }
    } else {
      this.destroy();
    }
    this.values(this.u?.cursor.left >= 0 ? this.u.cursor.idx : null); // new data does not move a crosshair
    this.figure.dataset.points = points;
    const first = graph.series.length ? graph.series[0].values.findLast(v => v !== null) : undefined;
    this.figure.dataset.last = first === undefined ? '' : String(first);
    room.drawn(this, points);
  }

  empty(yes) {
    this.message?.remove();
    this.message = null;
    if (!yes) return;
    this.message = document.createElement('p');
    this.message.className = 'message';
    this.message.textContent = this.hidden.size ? 'Every series is turned off' : 'No data in this range';
    this.plot.append(this.message);
  }

  destroy() {
    this.u?.destroy();
    this.u = null;
  }

  color(i) {
    const s = this.graph.series[i];
    return dark.matches ? s.dark : s.light;
  }

  options() {
    const {room, graph} = this, grid = css('--grid'), text = css('--muted');
    const font = '11px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';
    const width = s => {
      pen.font = font;
      return Math.ceil(pen.measureText(s).width);
    };
    return {
      width: this.plot.clientWidth,
      height: this.plot.clientHeight,
      padding: [8, 18, 0, 0], // room for half a label of the time axis
      legend: {show: false},
      scales: {
        x: {time: true, range: () => [room.from, room.to]},
        y: {range: () => [this.axis.min, this.axis.max]},
      },
      axes: [
        {
          stroke: text, font, size: 26, gap: 4, grid: {show: false}, ticks: {stroke: css('--line-strong'), size: 4, width: 1},
          border: {show: true, stroke: css('--line-strong'), width: 1},
          splits: u => (this.marks = timeTicks(room.from, room.to, Math.max(2, Math.min(14, Math.floor(u.bbox.width / devicePixelRatio / 72))))).map(t => t.value),
          values: () => this.marks.map(t => t.text),
        },
        {
          stroke: text, font, gap: 6, grid: {stroke: grid, width: 1}, ticks: {show: false},
          size: () => 10 + Math.max(16, ...this.axis.ticks.map(t => width(t.text))),
          splits: () => this.axis.ticks.map(t => t.value),
          values: () => this.axis.ticks.map(t => t.text),
        },
      ],
      series: [{}, ...graph.series.map((s, i) => ({
        label: s.label,
        stroke: () => this.color(i),
        fill: s.stacked ? () => this.color(i) + 'c8' : undefined,
        width: s.stacked ? 1 : 1.75,
        dash: s.dashed ? [5, 4] : undefined,
        cap: s.dashed ? 'butt' : 'round',
        points: {show: false},
        paths: (u, at, from, to) => this.path(u, i, from, to),
      }))],
      cursor: {
        x: true, y: false,
        points: {size: 7, width: 1.5, fill: (u, i) => this.color(i - 1), stroke: () => css('--surface')},
        drag: {x: true, y: false, setScale: false, dist: 6},
        sync: {key: 'charts', scales: ['x', null], filters: {pub: type => type === 'mousemove' || type === 'mouseleave'}},
        bind: {dblclick: () => () => { room.zoomOut(); return null; }},
      },
      hooks: {
        setCursor: [u => this.values(u.cursor.left >= 0 ? u.cursor.idx : null)],
        setSelect: [u => {
          const {left, width} = u.select;
          if (width < 6) return;
          const from = u.posToVal(left, 'x'), to = u.posToVal(left + width, 'x');
          u.setSelect({left: 0, width: 0, top: 0, height: 0}, false);
          room.zoom(from, to);
        }],
      },
    };
  }

  // path draws a series: a gap breaks it, a value alone between gaps is a dot, and a stacked
  // series is the area between those below it and itself.
  path(u, i, from, to) {
    const {base, top} = this.curves[i], xs = u.data[0];
    const x = j => u.valToPos(xs[j], 'x', true), y = v => u.valToPos(v, 'y', true);
    const stroke = new Path2D(), fill = base ? new Path2D() : null;
    const r = 1.1 * devicePixelRatio;
    for (let j = from; j <= to; j++) {
      if (top[j] === null || top[j] === undefined) continue;
      let end = j;
      while (end < to && top[end + 1] !== null && top[end + 1] !== undefined) end++;
      if (end === j) {
        stroke.moveTo(x(j) + r, y(top[j]));
        stroke.arc(x(j), y(top[j]), r, 0, 2 * Math.PI);
        if (fill) fill.rect(x(j) - 2 * r, y(top[j]), 4 * r, y(base[j]) - y(top[j]));
        continue;
      }
      stroke.moveTo(x(j), y(top[j]));
      for (let k = j + 1; k <= end; k++) stroke.lineTo(x(k), y(top[k]));
      if (fill) {
        fill.moveTo(x(j), y(top[j]));
        for (let k = j + 1; k <= end; k++) fill.lineTo(x(k), y(top[k]));
        for (let k = end; k >= j; k--) fill.lineTo(x(k), y(base[k]));
        fill.closePath();
      }
      j = end;
    }
    return {stroke, fill, clip: null, flags: 0};
  }

  buildLegend() {
    this.legend.replaceChildren(...this.graph.series.map((s, i) => {
      const b = document.createElement('button');
      b.type = 'button';
      b.title = s.metric + ' – click shows it alone, with Ctrl or Shift turns it on and off';
      b.addEventListener('click', e => this.toggle(i, e.ctrlKey || e.metaKey || e.shiftKey));
      const ns = 'http://www.w3.org/2000/svg';
      const swatch = document.createElementNS(ns, 'svg');
      swatch.setAttribute('class', 'swatch');
      swatch.setAttribute('viewBox', '0 0 10 10');
      const mark = document.createElementNS(ns, s.stacked || !s.dashed ? 'rect' : 'path');
      if (s.stacked || !s.dashed) {
        mark.setAttribute('width', '10');
        mark.setAttribute('height', s.stacked ? '10' : '4');
        mark.setAttribute('y', s.stacked ? '0' : '3');
      } else {
        mark.setAttribute('d', 'M0 3h4v4H0zM6 3h4v4H6z');
      }
      swatch.append(mark);
      const label = document.createElement('span');
      label.className = 'label';
      label.textContent = s.group ? s.group + ' ' + s.label : s.label;
      const value = document.createElement('span');
      value.className = 'value';
      b.append(swatch, label, value);
      return b;
    }));
  }

  toggle(i, add) {
    const all = this.graph.series.map((_, j) => j);
    if (add) {
      if (!this.hidden.delete(i)) this.hidden.add(i);
    } else if (!this.hidden.has(i) && this.hidden.size === all.length - 1) {
      this.hidden.clear();
    } else {
      this.hidden = new Set(all.filter(j => j !== i));
    }
    this.draw(false);
  }

  // values writes the values at position j into the legend, or the last ones for null.
  values(j) {
    const {graph} = this;
    if (!graph) return;
    [...this.legend.children].forEach((b, i) => {
      const vs = graph.series[i].values;
      const v = j === null || j === undefined ? vs.findLast(v => v !== null) : vs[j];
      b.querySelector('.value').textContent = format(v ?? null, graph.unit);
      b.querySelector('.swatch').firstChild.setAttribute('fill', this.color(i));
      b.setAttribute('aria-pressed', String(!this.hidden.has(i)));
    });
    this.at.textContent = j === null || j === undefined ? '' : moment(graph.start + j * graph.step, graph.step);
  }

  key(e) {
    const {u} = this;
    if (!u || e.target !== this.plot) return;
    const step = {ArrowLeft: -1, ArrowRight: 1}[e.key];
    if (step) {
      const n = u.data[0].length, j = Math.max(0, Math.min(n - 1, (u.cursor.idx ?? (step > 0 ? -1 : n)) + step));
      u.setCursor({left: u.valToPos(u.data[0][j], 'x'), top: 1}, true, true);
    } else if (e.key === 'Escape') {
      u.setCursor({left: -10, top: -10}, true, true);
    } else if (e.key === '-') {
      this.room.zoomOut();
    } else {
      return;
    }
    e.preventDefault();
  }
}

const pen = document.createElement('canvas').getContext('2d');

// A Room is all charts of a page, and the range of time that they share.
export class Room {
  constructor(element, swap) {
    this.swap = swap; // fetches the page again and puts parts of it in place
    this.adopt(element);
    this.skew = Number(element.dataset.now) * 1000 - Date.now(); // of the browser's clock
    this.opened = Date.now();
    this.setRange(location.search);
    document.addEventListener('click', e => this.click(e));
    document.querySelector('[data-range-form]')?.addEventListener('submit', e => this.submit(e));
    document.querySelector('[data-zoom-out]')?.addEventListener('click', () => this.zoomOut());
    document.querySelector('[data-chart-search]')?.addEventListener('input', e => this.search(e.target.value));
    addEventListener('popstate', () => this.go(location.search, false));
    dark.addEventListener('change', () => this.redraw());
    document.addEventListener('visibilitychange', () => document.hidden || this.tick());
    let resize;
    new ResizeObserver(() => {
      clearTimeout(resize);
      resize = setTimeout(() => this.redraw(), 120);
    }).observe(document.documentElement);
    this.bar();
    this.schedule();
  }

  now() { return Math.floor((Date.now() + this.skew) / 1000); }

  // adopt takes the charts of element, which may be newer than the ones before.
  adopt(element) {
    const old = new Map((this.charts || []).map(c => [c.name, c]));
    this.observer?.disconnect();
    old.forEach(c => c.destroy());
    this.element = element;
    this.charts = [...element.querySelectorAll('[data-graph]')].map(f => new Chart(this, f));
    this.observer = new IntersectionObserver(seen => {
      for (const s of seen) {
        const chart = this.charts.find(c => c.figure === s.target);
        if (chart) chart.inSight = s.isIntersecting;
      }
      this.load();
    }, {rootMargin: '240px'});
    this.charts.forEach(c => this.observer.observe(c.figure));
    const search = document.querySelector('[data-chart-search]');
    if (search?.value) this.search(search.value);
  }

  setRange(query) {
    const q = new URLSearchParams(query);
    const d = this.element.dataset;
    if (q.get('from')) {
      this.relative = '';
      const from = Number(q.get('from')), to = Number(q.get('to') || this.now());
      // A form without a script writes dates; the server has read them.
      [this.from, this.to] = from >= 0 && to > from ? [from, to] : [Number(d.from), Number(d.to)];
      if (this.to - this.from < SHORTEST) this.to = this.from + SHORTEST;
    } else {
      this.relative = SPANS[q.get('range')] ? q.get('range') : DEFAULT;
      this.slide();
    }
  }

  // slide moves a relative range to now.
  slide() {
    if (!this.relative) return;
    this.to = this.now();
    this.from = this.to - SPANS[this.relative];
  }

  query() { return this.relative ? 'range=' + this.relative : 'from=' + this.from + '&to=' + this.to; }

  go(query, push = true) {
    if (push) history.pushState({zoomed: push === 'zoom'}, '', location.pathname + query);
    this.setRange(query);
    this.charts.forEach(c => c.forget());
    this.bar();
    this.load();
    if (this.element.hasAttribute('data-whole')) this.swap(['numbers', 'links']);
    this.schedule();
  }

  zoom(from, to) {
    from = Math.floor(from);
    to = Math.ceil(to);
    if (to - from < SHORTEST) {
      from = Math.floor((from + to - SHORTEST) / 2);
      to = from + SHORTEST;
    }
    this.go('?from=' + from + '&to=' + to, 'zoom');
  }

  // zoomOut undoes the last zoom, or shows twice as much.
  zoomOut() {
    if (history.state?.zoomed) {
      history.back();
    } else if (!this.relative) {
      const half = (this.to - this.from) / 2;
      this.zoom(this.from - half, Math.min(this.to + half, Math.max(this.now(), this.to)));
    }
  }

  // bar puts the range into the time bar and the links of the charts.
  bar() {
    for (const a of document.querySelectorAll('a[data-range]')) {
      if (a.dataset.range === this.relative) a.setAttribute('aria-current', 'true');
      else a.removeAttribute('aria-current');
    }
    const on = document.querySelector('a[data-range][aria-current]'); // on phones the list scrolls
    if (on) on.parentElement.scrollLeft = on.offsetLeft - on.parentElement.clientWidth / 2;
    for (const c of this.charts) c.link.search = '?' + this.query();
    const words = document.querySelector('[data-range-words]');
    if (!words) return;
    words.closest('.menu').classList.toggle('on', !this.relative);
    const zoomOut = document.querySelector('[data-zoom-out]');
    if (zoomOut) zoomOut.hidden = Boolean(this.relative);
    const [a, b] = [new Date(this.from * 1000), new Date(this.to * 1000)];
    const full = d => date(d) + (this.to - this.from > 200 * 86400 ? ' ' + d.getFullYear() : '') + ' ' + clock(d);
    words.textContent = this.relative ? 'From … to …' : full(a) + ' – ' + (a.toDateString() === b.toDateString() ? clock(b) : full(b));
    const zone = document.querySelector('[data-zone]');
    if (zone) zone.textContent = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const form = document.querySelector('[data-range-form]');
    const local = d => new Date(d - d.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
    form.elements.from.value = local(a);
    form.elements.to.value = local(b);
  }

  click(e) {
    const a = e.target.closest?.('a[data-range]');
    if (!a || e.button || e.ctrlKey || e.metaKey || e.shiftKey || e.altKey) return;
    e.preventDefault();
    this.go('?range=' + a.dataset.range);
  }

  submit(e) {
    e.preventDefault();
    const {from, to} = e.target.elements;
    const [a, b] = [new Date(from.value) / 1000, new Date(to.value) / 1000];
    to.setCustomValidity(b > a ? '' : 'The end must be after the beginning.');
    if (!e.target.reportValidity()) return;
    e.target.closest('details').open = false;
    this.go('?from=' + a + '&to=' + b);
  }

  search(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    for (const c of this.charts) {
      c.figure.hidden = !words.every(w => c.figure.dataset.find.includes(w));
      found += !c.figure.hidden;
    }
    for (const g of this.element.querySelectorAll('[data-group]')) g.hidden = !g.querySelector('[data-graph]:not([hidden])');
    const nothing = this.element.querySelector('[data-nothing-found]');
    if (nothing) nothing.hidden = found > 0 || !words.length;
  }

  redraw() {
    for (const c of this.charts) if (c.graph && !c.stale) c.draw(false);
  }

  // load fetches what is in sight and out of date, a dozen charts a request.
  load() {
    const want = this.charts.filter(c => c.inSight && c.stale && !c.loading && !c.figure.hidden);
    for (let i = 0; i < want.length; i += BATCH) this.fetch(want.slice(i, i + BATCH));
  }

  async fetch(charts) {
    const q = new URLSearchParams({from: this.from, to: this.to});
    charts.forEach(c => { q.append('graph', c.name); c.loading = true; });
    const range = this.from + '-' + this.to;
    let answer;
    try {
      const r = await fetch(this.element.dataset.charts + '?' + q, {headers: {Accept: 'application/json'}});
      if (r.status === 401) { location.reload(); return; }
      if (!r.ok) throw new Error('the server answered ' + r.status);
      answer = await r.json();
    } catch {
      answer = null; // the charts stay as they are
      setTimeout(() => this.load(), 10000);
    } finally {
      charts.forEach(c => { c.loading = false; });
    }
    if (range !== this.from + '-' + this.to) { this.load(); return; }
    if (!answer) return;
    this.skew = answer.now * 1000 - Date.now();
    for (const g of answer.graphs) charts.find(c => c.name === g.name)?.show(g);
    charts.filter(c => c.stale).forEach(c => c.show({series: [], unit: 'float', start: this.from, step: 60}));
    this.noticeNew(answer.names);
  }

  // noticeNew puts the charts of metrics on the page that were not there before.
  async noticeNew(names) {
    if (this.element.hasAttribute('data-whole') || this.swapping) return;
    if (names.join('\n') === this.charts.map(c => c.name).join('\n')) return;
    this.swapping = true;
    await this.swap(['live', 'facts']);
    this.swapping = false;
    this.adopt(document.querySelector('[data-charts]'));
    this.bar();
  }

  drawn(chart, points) { if (points) this.hasData = true; }

  // schedule plans the next refresh: every few seconds while first data is awaited, then a few
  // seconds after each minute, when agents post. Absolute ranges stay as they are.
  schedule() {
    clearTimeout(this.timer);
    if (!this.relative && this.to < this.now()) return;
    const young = document.querySelector('[data-young]') && Date.now() - this.opened < 150000;
    const step = SPANS[this.relative] > 7 * 86400 ? 600 : 60;
    const wait = young || !this.charts.length ? 3000 : (step - this.now() % step + 4 + 2 * Math.random()) * 1000;
    this.timer = setTimeout(() => this.tick(), wait);
  }

  tick() {
    if (document.hidden) return; // visibilitychange goes on
    if (this.relative || this.to > this.now()) {
      this.slide();
      this.charts.forEach(c => { c.stale = true; });
      if (this.charts.some(c => c.inSight)) this.load();
      else this.fetch([]);
      if (this.element.hasAttribute('data-whole')) this.swap(['numbers']);
      else if (this.charts.length) this.swap(['facts', 'checks', 'alarms', 'open']);
    }
    this.schedule();
  }
}
