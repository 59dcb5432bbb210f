import type { Problem } from '../model/types';
import { Copy } from './copy';

export function LoggedOut() {
  return (
    <section class="notice" data-testid="logged-out">
      <h1>You are not logged in.</h1>
      <p>
        The console is opened with a link that works once. On the machine where the cluster was started, this prints a fresh
        one:
      </p>
      <Command line="grafos dev status" />
      <p>
        No cluster yet? This starts one and prints its link:
      </p>
      <Command line="grafos dev up" />
      <p class="quiet">Open the link in this browser. This page goes on by itself as soon as there is a session.</p>
    </section>
  );
}

export function NotAllowed({ problem }: { problem: Problem | undefined }) {
  return (
    <section class="notice" data-testid="not-allowed">
      <h1>This session may not see the fleet.</h1>
      <p>
        {problem?.detail} {problem && <code>{problem.kind}</code>}
      </p>
      {problem?.hint && <p>{problem.hint}</p>}
    </section>
  );
}

function Command({ line }: { line: string }) {
  return (
    <p class="command">
      <code>{line}</code>
      <Copy text={line} what={line} />
    </p>
  );
}
