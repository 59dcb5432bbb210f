import { render } from 'preact';
import { Live } from './data/live';
import { App } from './ui/app';
import { startClock, stopClock } from './ui/clock';
import './style.css';

const live = new Live({
  fetch: (...args) => fetch(...args),
  source: (url) => new EventSource(url),
  now: () => Date.now(),
  after(ms, run) {
    const id = setTimeout(run, ms);
    return () => clearTimeout(id);
  },
});

/** A hidden tab asks nothing and holds no connection. */
function followVisibility(): void {
  if (document.visibilityState === 'hidden') {
    live.stop();
    stopClock();
  } else {
    startClock();
    live.start();
  }
}

document.addEventListener('visibilitychange', followVisibility);
followVisibility();

const root = document.getElementById('app');
if (root) render(<App live={live} />, root);
