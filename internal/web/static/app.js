// The console's scripts. Every page works without them; they draw charts, keep times fresh and
// save a click here and there. Text from the server is only ever put in as textContent or as
// nodes of a page that the server escaped.
import {span} from './format.js';

const root = document.documentElement;
root.classList.add('js');

// swap fetches this page again and puts its newer parts, elements with data-swap, in place. A
// part that the visitor is using, by focus or an open menu, is left alone.
async function swap(names) {
  let page;
  try {
    const r = await fetch(location.href, {headers: {Accept: 'text/html'}});
    if (!r.ok || r.redirected) return;
    page = new DOMParser().parseFromString(await r.text(), 'text/html');
  } catch {
    return; // the next try comes by itself
  }
  for (const name of names) {
    const [old, fresh] = [document, page].map(d => d.querySelector(`[data-swap="${name}"]`));
    if (!old || !fresh || old.contains(document.activeElement) || old.querySelector('details[open]')) continue;
    old.replaceWith(document.importNode(fresh, true));
  }
  times();
}

// times writes how long ago things were, and when exactly by the visitor's own clock.
function times() {
  for (const t of document.querySelectorAll('time[data-ago]')) {
    const at = new Date(t.dateTime), s = Math.floor((Date.now() - at) / 1000);
    t.textContent = s < 1 ? 'now' : span(s) + ' ago';
    t.title = at.toLocaleString('en-GB', {dateStyle: 'long', timeStyle: 'long'});
  }
  for (const t of document.querySelectorAll('time[data-exact]')) {
    const at = new Date(t.dateTime);
    t.textContent = at.toLocaleString('en-GB', {dateStyle: 'medium', timeStyle: 'medium'});
    t.title = at.toLocaleString('en-GB', {dateStyle: 'long', timeStyle: 'long'});
  }
  for (const t of document.querySelectorAll('time[data-until]')) {
    const at = new Date(t.dateTime);
    t.textContent = at.toLocaleString('en-GB', {day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit', timeZoneName: 'short'});
    t.title = at.toLocaleString('en-GB', {dateStyle: 'long', timeStyle: 'long'});
  }
}
times();
setInterval(() => document.hidden || times(), 5000);

const charts = document.querySelector('[data-charts]');
if (charts) import('./charts.js').then(({Room}) => new Room(charts, swap));

if (document.querySelector('[data-swap="hosts"]')) {
  // An empty list waits for its first host.
  const again = () => setTimeout(async () => {
    if (!document.hidden) await swap(['hosts', 'matches', 'open']);
    again();
  }, document.querySelector('[data-host-link]') ? 20000 : 3000);
  again();
}

if (document.querySelector('[data-swap="alerts"]')) {
  const again = () => setTimeout(async () => {
    if (!document.hidden) await swap(['alerts', 'matches', 'open']);
    again();
  }, 20000);
  again();
}

if (document.querySelector('[data-swap="drains"], [data-swap="drain"]')) {
  const again = () => setTimeout(async () => {
    if (!document.hidden) await swap(['drains', 'drain', 'drain-state', 'open']);
    again();
  }, 10000);
  again();
}

// What a form says is shown beside it while it is typed: the server draws it, as it does for the button without scripts.
const draft = document.querySelector('form[data-draft]');
if (draft) {
  let timer, running = new AbortController();
  draft.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      running.abort();
      running = new AbortController();
      const body = new URLSearchParams(new FormData(draft));
      body.set('do', 'draft');
      try {
        const r = await fetch(draft.action, {method: 'POST', body, signal: running.signal, headers: {Accept: 'text/html'}});
        if (!r.ok || r.redirected) return;
        const page = new DOMParser().parseFromString(await r.text(), 'text/html');
        const [old, fresh] = [document, page].map(d => d.querySelector('[data-swap="beside"]'));
        if (old && fresh) old.replaceWith(document.importNode(fresh, true));
        times();
      } catch {} // what is typed next tries again
    }, 300);
  });
}

// The visitor's own time zone is the first that a form proposes.
const zones = document.getElementById('l-timezone');
if (zones) zones.prepend(new Option('yours', Intl.DateTimeFormat().resolvedOptions().timeZone));

// A menu closes when one clicks elsewhere or presses Escape.
document.addEventListener('click', e => {
  for (const m of document.querySelectorAll('details.menu[open]')) if (!m.contains(e.target)) m.open = false;
});
document.addEventListener('keydown', e => {
  if (e.key !== 'Escape') return;
  for (const m of document.querySelectorAll('details.menu[open]')) {
    m.open = false;
    m.querySelector('summary').focus();
  }
});

for (const select of document.querySelectorAll('[data-filters] select')) {
  select.addEventListener('change', () => select.form.requestSubmit());
}

for (const b of document.querySelectorAll('[data-copy]')) {
  b.addEventListener('click', async () => {
    const text = b.parentElement.querySelector('pre');
    try {
      await navigator.clipboard.writeText(text.textContent);
      b.textContent = 'Copied';
      setTimeout(() => { b.textContent = 'Copy'; }, 2000);
    } catch { // without TLS there is no clipboard: select it, so that a key copies it
      getSelection().selectAllChildren(text);
    }
  });
}

// The frame that waits for a new host becomes the host's page when it has arrived.
const wait = document.querySelector('iframe[data-wait]');
if (wait) {
  const look = () => {
    const link = wait.contentDocument?.querySelector('a[data-new-host]');
    if (link) location.href = link.href;
  };
  wait.addEventListener('load', look);
  look();
}
