import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Connect, Plugin } from 'vite';
import { world, type Scenario } from './world.ts';

// Answers /api/v1 with a made-up cluster while developing: `npm run dev` or `npm run
// preview`, then open /admin/stats?scenario=one-down. The scenario is kept in a cookie.
// It is a plugin of the server only and never part of a build.

/** The policy that console.go sends, so that a breach is seen while developing. */
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

export function fixtures(): Plugin {
  return {
    name: 'grafos-fixtures',
    apply: 'serve',
    configureServer: (server) => void server.middlewares.use(answer),
    configurePreviewServer: (server) => {
      server.middlewares.use((_req, res, next) => {
        res.setHeader('Content-Security-Policy', policy);
        next();
      });
      server.middlewares.use(answer);
    },
  };
}

let index = 1873;

function answer(req: IncomingMessage, res: ServerResponse, next: Connect.NextFunction): void {
  const url = new URL(req.url ?? '/', 'http://console');
  const asked = url.searchParams.get('scenario');
  if (asked) res.setHeader('Set-Cookie', `scenario=${encodeURIComponent(asked)}; Path=/`);
  if (!url.pathname.startsWith('/api/v1/')) {
    next();
    return;
  }
  const scenario = (/scenario=([\w-]+)/.exec(req.headers.cookie ?? '')?.[1] ?? 'ready') as Scenario;
  const path = url.pathname.slice('/api/v1/'.length);
  if (scenario === 'logged-out') {
    problem(res, 401, 'unauthenticated', 'no session');
    return;
  }
  const w = world(scenario, index);
  const verified = url.searchParams.get('consistency') !== 'stale';
  if ((scenario === 'no-leader' || scenario === 'stale') && verified && (path === 'cells' || path === 'providers')) {
    problem(res, 503, 'no_leader', 'no leader is known');
    return;
  }
  switch (path) {
    case 'providers':
      return json(res, { index: w.index, providers: w.providers });
    case 'cells':
      return json(res, { index: w.index, cells: w.cells });
    case 'operator/schedulers':
      return json(res, w.schedulers);
    case 'operator/node':
      return json(res, w.node);
    case 'events':
      return events(req, res);
  }
  problem(res, 404, 'not_found', path);
}

function events(req: IncomingMessage, res: ServerResponse): void {
  res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
  res.write(': open\n\n');
  const id = setInterval(() => {
    index++;
    res.write(`id: ${index}.0\ndata: {"cursor":"${index}.0","type":"lease_granted"}\n\n`);
  }, 1500);
  req.on('close', () => clearInterval(id));
}

function json(res: ServerResponse, body: unknown): void {
  res.writeHead(200, { 'Content-Type': 'application/json' });
  res.end(JSON.stringify(body));
}

function problem(res: ServerResponse, status: number, kind: string, detail: string): void {
  res.writeHead(status, { 'Content-Type': 'application/problem+json' });
  res.end(JSON.stringify({ kind, status, detail, title: kind.replaceAll('_', ' ') }));
}
