// Values and axes as people read them: the twin of the package internal/chart, whose comment
// has the rules and whose testdata/format.json has the cases that hold for both.

const MINUS = '\u2212', GROUP = '\u202f', NONE = '\u2013';
const BINARY = [' B', ' KiB', ' MiB', ' GiB', ' TiB', ' PiB', ' EiB', ' ZiB', ' YiB'];
const DECIMAL = ['', 'k', 'M', 'G', 'T', 'P', 'E'];
const BITS = [' bit/s', ' kbit/s', ' Mbit/s', ' Gbit/s', ' Tbit/s', ' Pbit/s', ' Ebit/s'];
const DAY = 86400;

// format writes a value with its unit; null and NaN, which are no values, become "–".
export function format(v, unit) {
  return write(v, unit, {digits: 3, parts: 2})[0];
}

// write returns v as text, and the value that a reader of the text understands.
function write(v, unit, style) {
  if (v === null || v === undefined || Number.isNaN(v)) return [NONE, NaN];
  if (v === Infinity) return ['∞', v];
  if (v === -Infinity) return [MINUS + '∞', v];
  if (v < 0) {
    const [text, shown] = writePositive(-v, unit, style);
    return [MINUS + text, -shown];
  }
  return writePositive(v, unit, style);
}

function writePositive(x, unit, style) {
  let text, shown;
  switch (unit) {
    case 'percentage':
      [text, shown] = number(x, style.digits);
      return [text + '%', shown];
    case 'bytes':
      return prefixed(x, 1024, BINARY, style.digits);
    case 'bytes/sec':
      [text, shown] = prefixed(x, 1024, BINARY, style.digits);
      return [text + '/s', shown];
    case 'bits/sec':
      return prefixed(x, 1000, BITS, style.digits);
    case 'seconds':
      return duration(x, style);
    case 'milliseconds':
      [text, shown] = duration(x / 1000, style);
      return [text, shown * 1000];
  }
  [text, shown] = !style.axis && x < 999999.5 ? number(x, style.digits) : prefixed(x, 1000, DECIMAL, style.digits);
  if (unit === 'iops' && !style.axis) text += ' iops';
  return [text, shown];
}

function prefixed(x, base, names, digits) {
  let factor = 1, i = 0;
  while (x / factor >= base - 0.5) {
    if (++i === names.length) {
      const [text, shown] = number(x, digits);
      return [text + names[0], shown];
    }
    factor *= base;
  }
  const [text, shown] = number(x / factor, digits);
  return [text + names[i], shown * factor];
}

function duration(x, style) {
  if (x === 0) return ['0 s', 0];
  for (const [factor, name] of [[1e9, ' ns'], [1e6, ' µs'], [1e3, ' ms']]) {
    if (x * factor < 999.5) {
      const [text, shown] = number(x * factor, style.digits);
      return [text + name, shown / factor];
    }
  }
  if (x < 59.95 || !style.parts || x >= 1e6 * DAY) {
    const [text, shown] = number(x, style.digits);
    return [text + ' s', shown];
  }
  const sizes = [DAY, 3600, 60, 1], names = ['d', 'h', 'm', 's'];
  for (let first = sizes.length - style.parts; ; first--) {
    const last = first + style.parts - 1;
    let rest = Math.floor(x / sizes[last] + 0.5) * sizes[last];
    if (first > 0 && rest >= sizes[first - 1]) continue;
    const shown = rest, parts = [];
    for (let i = first; i <= last; i++) {
      const n = Math.floor(rest / sizes[i]);
      rest -= n * sizes[i];
      if (n > 0) parts.push(number(n, 3)[0] + names[i]);
    }
    return [parts.join(' '), shown];
  }
}

// number rounds the shortest decimal form, half up: so Go and this script agree.
function number(x, digits) {
  if (x === 0) return ['0', 0];
  const [mantissa, e] = x.toExponential().split('e');
  let exp = Number(e);
  let ds = Array.from(mantissa.replace('.', ''), Number);
  const keep = exp < 7 ? Math.max(digits, exp + 1) : digits;
  if (ds.length > keep) {
    let up = ds[keep] >= 5;
    ds = ds.slice(0, keep);
    for (let i = keep - 1; up && i >= 0; i--) {
      up = ds[i] === 9;
      ds[i] = up ? 0 : ds[i] + 1;
    }
    if (up) {
      ds.unshift(1);
      exp++;
    }
  }
  const d = ds.join('').replace(/0+$/, '');
  const shown = Number(d[0] + '.' + d.slice(1) + 'e' + exp);
  if (exp < -3 || exp >= 7) {
    const head = d[0] + (d.length > 1 ? '.' + d.slice(1) : '');
    return [head + 'e' + (exp < 0 ? MINUS : '') + Math.abs(exp), shown];
  }
  if (exp < 0) return ['0.' + '0'.repeat(-exp - 1) + d, shown];
  if (d.length <= exp + 1) return [group(d + '0'.repeat(exp + 1 - d.length)), shown];
  return [group(d.slice(0, exp + 1)) + '.' + d.slice(exp + 1), shown];
}

function group(whole) {
  return whole.length < 5 ? whole : whole.replace(/\B(?=(\d{3})+$)/g, GROUP);
}

// ticks returns the marks of an axis: [{value, text}], ascending.
export function ticks(min, max, n, unit) {
  if (!(max > min) || n < 1) return [];
  const step = niceStep((max - min) / n, unit);
  const first = Math.ceil(min / step - 1e-6), last = Math.floor(max / step + 1e-6);
  if (!(last - first <= n + 1)) return [];
  const out = [];
  for (let i = first; i <= last; i++) out.push({value: i === 0 ? 0 : i * step, text: ''});
  const styles = [{digits: 3, parts: 2, axis: true}];
  if (unit === 'seconds' || unit === 'milliseconds') styles.push({digits: 3, parts: 3, axis: true}, {digits: 3, parts: 4, axis: true});
  for (let digits = 4; digits <= 17; digits++) styles.push({digits, axis: true});
  for (const style of styles) {
    let exact = true;
    for (const t of out) {
      const [text, shown] = write(t.value, unit, style);
      t.text = text;
      exact &&= Math.abs(shown - t.value) <= step * 1e-3;
    }
    if (exact) break;
  }
  return out;
}

const DURATIONS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 3 * 3600, 6 * 3600, 12 * 3600, DAY, 2 * DAY, 5 * DAY, 10 * DAY];

function niceStep(raw, unit) {
  switch (unit) {
    case 'bytes':
    case 'bytes/sec':
      if (raw > 1) {
        let step = 1;
        while (step < raw) step *= 2;
        return step;
      }
      break;
    case 'integer':
      if (raw <= 1) return 1;
      if (raw > 2 && raw <= 5) return 5;
      break;
    case 'milliseconds':
      return niceStep(raw / 1000, 'seconds') * 1000;
    case 'seconds':
      if (raw > 0.5 && raw <= DURATIONS.at(-1)) return DURATIONS.find(d => d >= raw);
      if (raw > 1) return DAY * niceStep(raw / DAY, 'float');
  }
  for (let power = Math.floor(Math.log10(raw)); ; power++) {
    for (const m of [1, 2, 2.5, 5]) {
      const step = m * Number('1e' + power);
      if (step >= raw * (1 - 1e-9) && step > 0) return step;
    }
  }
}

// axis returns {min, max, ticks} for values from min to max, with about n ticks. Zero is on it,
// except for lines of plain numbers that are all alike.
export function axis(min, max, n, unit, stacked) {
  const size = Math.max(Math.abs(min), Math.abs(max)), spread = max - min;
  if (!stacked && unit === 'float' && min * max > 0 && spread < size / 10 && spread > size * 1e-9) {
    min -= spread / 10;
    max += spread / 10;
  } else {
    min = Math.min(min, 0);
    max = Math.max(max, 0);
    if (max - min < 1e-300) [min, max] = [0, 1];
  }
  const step = niceStep((max - min) / n, unit);
  let top = Math.ceil(max / step - 0.01) * step, bottom = Math.floor(min / step + 0.01) * step;
  if (top - max > step / 2) top = max + (max - min) / 20;
  if (min - bottom > step / 2) bottom = min - (max - min) / 20;
  return {min: bottom, max: top, ticks: ticks(bottom, top, n + 1, unit)};
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const two = n => String(n).padStart(2, '0');

export const clock = d => two(d.getHours()) + ':' + two(d.getMinutes());
export const date = d => d.getDate() + ' ' + MONTHS[d.getMonth()];

// moment writes the time of a value under the crosshair, as exactly as the step asks for.
export function moment(t, step) {
  const d = new Date(t * 1000);
  return step >= DAY ? date(d) + ' ' + d.getFullYear() : date(d) + ', ' + clock(d);
}

// span writes a length of time in one unit, as the server's pages do.
export function span(s) {
  if (s < 90) return s + ' s';
  if (s < 90 * 60) return Math.floor(s / 60) + ' min';
  if (s < 36 * 3600) return Math.floor(s / 3600) + ' h';
  return Math.floor(s / DAY) + ' days';
}

const MINUTES = [1, 2, 5, 10, 15, 30].map(n => [n * 60, 'minutes', n]);
const HOURS = [1, 2, 3, 6, 12].map(n => [n * 3600, 'hours', n]);
const DAYS = [1, 2, 7, 14].map(n => [n * DAY, 'days', n]);
const LONG = [1, 3, 6, 12, 60].map(n => [n * 31 * DAY, 'months', n]);

// timeTicks returns at most about n marks of a time axis, [{value, text}], where the
// visitor's clocks show round times.
export function timeTicks(from, to, n) {
  const steps = [...MINUTES, ...HOURS, ...DAYS, ...LONG];
  const [seconds, kind, size] = steps.find(s => (to - from) / s[0] <= n) || steps.at(-1);
  const out = [];
  const add = (t, text) => {
    if (t >= from && t <= to && !(out.length && out.at(-1).value >= t)) out.push({value: t, text});
  };
  const hour = d => add(d / 1000, d.getHours() || d.getMinutes() ? clock(d) : date(d));
  const start = new Date(from * 1000);
  const [y, m, day] = [start.getFullYear(), start.getMonth(), start.getDate()];
  const each = (make, show) => {
    for (let i = 0; i < 1000; i++) {
      const d = make(i);
      if (d / 1000 > to) return;
      show(d);
    }
  };
  switch (kind) {
    case 'minutes': {
      // Along the real time, so that an hour that comes twice is marked twice.
      const offset = -60 * start.getTimezoneOffset();
      const first = Math.floor((from + offset) / seconds) * seconds - offset;
      each(i => new Date((first + i * seconds) * 1000), hour);
      break;
    }
    case 'hours':
      each(i => new Date(y, m, day, i * size), hour);
      break;
    case 'days': {
      let first = day;
      if (size % 7 === 0) first -= (start.getDay() + 6) % 7;
      else if (size > 1) first -= (day - 1) % size;
      each(i => new Date(y, m, first + i * size), d => add(d / 1000, date(d)));
      break;
    }
    default: {
      const year = size >= 12 ? y - y % (size / 12) : y, month = size >= 12 ? 0 : m - m % size;
      each(i => new Date(year, month + i * size, 1), d => add(d / 1000, d.getMonth() ? MONTHS[d.getMonth()] : String(d.getFullYear())));
    }
  }
  return out;
}
