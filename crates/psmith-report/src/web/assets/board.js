// The web board: shows what the run tells and changes nothing. All text of jobs is put in as text, never as markup.
'use strict';
(() => {
  const ROW = 28, PAGE = 100, CHARTS_EVERY = 2000, KEY = 'psmith-token';
  const at = id => document.getElementById(id);
  const asked = new URLSearchParams(location.hash.slice(1)).get('token');
  if (asked) {
    sessionStorage.setItem(KEY, asked);
    history.replaceState(null, '', location.pathname);
  }
  const headers = { Authorization: 'Bearer ' + (sessionStorage.getItem(KEY) || '') };
  let latest = null, chartsAt = 0, chartsBusy = false, listFrom = -1, listSeen = -1, listAsked = 0, rowsShown = '';

  const get = async path => {
    const answer = await fetch(path, { headers, cache: 'no-store' });
    if (!answer.ok) throw new Error(answer.status === 401 ? 'the token is missing or wrong: open the line that psmith printed' : answer.statusText);
    return answer;
  };
  const make = (name, text, kind) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (kind) element.className = kind;
    return element;
  };
  const time = s => s < 1 ? Math.round(s * 1000) + 'ms' : s < 60 ? s.toFixed(1) + 's'
    : s < 3600 ? Math.floor(s / 60) + 'm' + String(Math.floor(s % 60)).padStart(2, '0') + 's'
    : Math.floor(s / 3600) + 'h' + String(Math.floor(s / 60 % 60)).padStart(2, '0') + 'm';
  const size = b => b == null ? '' : b < 1024 ? b + '' : b < 1048576 ? (b / 1024).toFixed(0) + 'K'
    : b < 1073741824 ? (b / 1048576).toFixed(0) + 'M' : (b / 1073741824).toFixed(1) + 'G';
  const state = (text, bad) => { at('state').textContent = text; at('state').classList.toggle('bad', !!bad); };

  // What changes from moment to moment.
  function show(now) {
    latest = now;
    const name = 'psmith run ' + now.run;
    const verdict = now.failed ? now.failed + ' failed' : now.over ? 'done' : 'running';
    document.title = `${now.total == null ? now.done : now.done + '/' + now.total} ${verdict} - ${name}`;
    at('title').textContent = name;
    at('command').textContent = now.command;
    const parts = [now.over ? 'the run is over after ' + time(now.wall) : 'running for ' + time(now.wall)];
    if (now.held) parts.push('starts are held: ' + now.held);
    if (now.rate > 0 && !now.over) parts.push(now.rate.toFixed(1) + ' jobs a second');
    if (now.eta != null) parts.push('about ' + time(now.eta) + ' left');
    parts.push(now.slots + ' slots', 'containment ' + now.contain, now.cwd);
    state(parts.join(' \u00b7 '));
    const counts = [['done', now.total == null ? now.done : now.done + ' / ' + now.total], ['ok', now.ok],
      ['failed', now.failed], ['flaky', now.flaky], ['running', now.running], ['cancelled', now.cancelled],
      ['retries', now.retries]];
    at('counts').replaceChildren(...counts.map(([name, count]) => {
      const item = make('li', undefined, name === 'failed' && count > 0 ? 'bad' : '');
      item.dataset.name = name;
      item.append(make('b', count), make('span', name));
      return item;
    }));
    at('progress').hidden = now.total == null;
    if (now.total != null) { at('progress').max = now.total || 1; at('progress').value = now.done; }
    at('running').replaceChildren(...now.rows.map(row => {
      const line = make('tr', undefined, row.slow ? 'slow' : '');
      line.dataset.job = row.job;
      const link = make('a', '#' + row.job);
      link.href = '#job=' + row.job;
      const job = make('td', undefined, 'num');
      job.append(link);
      line.append(make('td', row.slot, 'num'), job, make('td', row.attempt, 'num'), make('td', time(row.elapsed), 'num'),
        make('td', size(row.rss), 'num'), make('td', row.command, 'mono'), make('td', row.line, 'mono'));
      return line;
    }));
    const more = now.running - now.rows.length;
    at('running-more').textContent = more > 0 ? 'and ' + more + ' more' : now.running ? '' : 'nothing';
    at('causes').replaceChildren(...Object.entries(now.causes).sort((a, b) => b[1] - a[1]).map(([cause, count]) => {
      const line = make('tr');
      line.append(make('td', cause), make('td', count, 'num'));
      return line;
    }));
    at('forgotten').textContent = now.forgotten ? now.forgotten + ' older jobs are no longer listed; the joblog has them.' : '';
    if (listSeen !== now.done + now.cancelled) { listSeen = now.done + now.cancelled; list(true); }
    charts(now.over);
    if (shownJob() != null && !at('job').dataset.final) job();
  }

  // Charts are drawn by psmith; what comes is parsed as an image and put in as such.
  async function charts(final) {
    if (chartsBusy || at('board').hidden || (!final && Date.now() - chartsAt < CHARTS_EVERY)) return;
    chartsBusy = true;
    chartsAt = Date.now();
    try {
      for (const name of ['timeline', 'throughput', 'durations']) {
        const text = await (await get('api/chart/' + name)).text();
        const svg = new DOMParser().parseFromString(text, 'image/svg+xml').documentElement;
        if (svg.localName === 'svg') at(name).replaceChildren(document.importNode(svg, true));
      }
    } catch (error) { if (!latest || !latest.over) state(error.message, true); }
    chartsBusy = false;
  }

  // The list holds as many rows as fit; the space below them is as high as all of them would be.
  async function list(anew) {
    const top = Math.floor(at('list').scrollTop / ROW);
    const from = Math.max(0, top - 20);
    if (!anew && from >= listFrom && top + 20 <= listFrom + PAGE - 20 && listFrom >= 0 && top >= listFrom) return;
    const ask = ++listAsked;
    const query = new URLSearchParams({ from, count: PAGE, q: at('search').value.trim(), status: at('status').value });
    try {
      const found = await (await get('api/jobs?' + query)).json();
      if (ask !== listAsked) return;
      listFrom = found.from;
      at('list-space').style.height = found.total * ROW + 'px';
      at('list-rows').style.transform = `translateY(${found.from * ROW}px)`;
      at('found').textContent = found.total + (found.total === 1 ? ' job' : ' jobs');
      const key = JSON.stringify(found.rows);
      if (key !== rowsShown) {
        rowsShown = key;
        at('list-rows').replaceChildren(...found.rows.map(entry));
      }
      performance.mark('list-shown');
    } catch (error) { if (!latest || !latest.over) state(error.message, true); }
  }
  function entry(row) {
    const item = make('div');
    item.setAttribute('role', 'listitem');
    const link = make('a');
    link.href = '#job=' + row.job;
    link.append(make('span', '#' + row.job, 'number'),
      make('span', row.status === 'ok' ? 'ok' : row.cause || row.status, row.status),
      make('span', time(row.wall), 'number'), make('span', size(row.rss), 'number'), make('span', row.command, 'mono'));
    item.append(link);
    return item;
  }

  // One job's page.
  const shownJob = () => new URLSearchParams(location.hash.slice(1)).get('job');
  async function job() {
    const number = shownJob();
    at('board').hidden = number != null;
    at('job').hidden = number == null;
    if (number == null) { delete at('job').dataset.final; list(true); charts(true); return; }
    let facts;
    try { facts = await (await get('api/job/' + encodeURIComponent(number))).json(); }
    catch (error) {
      at('job-title').textContent = 'job ' + number + ': not running, not among the jobs that are kept';
      return;
    }
    if (number !== shownJob()) return;
    if (facts.status !== 'running') at('job').dataset.final = 'yes'; else delete at('job').dataset.final;
    at('job-title').textContent = 'job ' + facts.job + ': ' + (facts.cause || facts.status);
    at('job-command').textContent = facts.command;
    const rows = [['slot', facts.slot], ['attempt', facts.attempt], ['process', facts.pid], ['began', facts.began],
      ['time', time(facts.elapsed)], ['CPU time', facts.cpu == null ? null : time(facts.cpu)],
      ['memory', facts.rss == null ? null : size(facts.rss)], ['exit code', facts.exitval], ['signal', facts.signal],
      ['stdout bytes', facts.stdout_bytes], ['stderr bytes', facts.stderr_bytes]];
    const table = pairs => pairs.filter(([, value]) => value != null).map(([name, value]) => {
      const line = make('tr'), head = make('th', name);
      head.scope = 'row';
      line.append(head, make('td', value));
      return line;
    });
    at('job-facts').replaceChildren(...table(rows));
    at('job-output').textContent = facts.output || '(nothing is kept)';
    at('job-earlier').replaceChildren(...(facts.earlier || []).map(text => make('li', text)));
    at('job-limits').replaceChildren(...table(facts.limits));
  }
  addEventListener('hashchange', async () => {
    delete at('job').dataset.final;
    await job();
    if (shownJob() != null) at('job-title').focus();
  });
  at('timeline').addEventListener('click', event => {
    const bar = event.target.closest('[data-job]');
    if (bar) location.hash = 'job=' + bar.dataset.job;
  });
  let typing;
  at('search').addEventListener('input', () => {
    clearTimeout(typing);
    typing = setTimeout(() => { at('list').scrollTop = 0; list(true); }, 30);
  });
  at('status').addEventListener('change', () => { at('list').scrollTop = 0; list(true); });
  at('filter').addEventListener('submit', event => event.preventDefault());
  let scrolling = false;
  at('list').addEventListener('scroll', () => {
    if (scrolling) return;
    scrolling = true;
    requestAnimationFrame(() => { scrolling = false; list(false); });
  });

  // The stream of events, read by hand: the browser's own reader cannot send a token.
  async function follow() {
    for (let pause = 500; ; pause = Math.min(pause * 2, 8000)) {
      try {
        const reader = (await get('api/live')).body.pipeThrough(new TextDecoderStream()).getReader();
        let text = '';
        for (;;) {
          const { value, done } = await reader.read();
          if (done) break;
          pause = 500;
          text += value;
          const frames = text.split('\n\n');
          text = frames.pop();
          // Of several frames that came together the last says all.
          const data = frames.filter(frame => frame.startsWith('data: ')).pop();
          if (data) show(JSON.parse(data.slice(6)));
        }
      } catch (error) {
        if (latest && latest.over) return;
        state(latest ? 'the connection is lost: the run is over, or psmith is gone' : error.message, true);
      }
      if (latest && latest.over) return;
      await new Promise(done => setTimeout(done, pause));
    }
  }
  if (shownJob() != null) job();
  follow();
})();
