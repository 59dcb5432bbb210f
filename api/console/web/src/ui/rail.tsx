import type { Live } from '../data/live';
import { notReady } from '../model/cells';

/** The pages. What is not built is not here. */
export function Rail({ live }: { live: Live }) {
  const node = live.node.value;
  const out = live.snapshot.value?.cells.filter(notReady).length ?? 0;
  return (
    <nav class="rail" aria-label="pages">
      <div class="brand">
        <b>
          graf<i>OS</i>
        </b>
        <span class="cluster" title="cluster id">
          {node?.cluster_id ?? ' '}
        </span>
      </div>
      <ul>
        <li>
          <a href="#infrastructure" aria-current="page">
            Infrastructure
            {out > 0 && (
              <em title={`${out} not ready`}>
                {out}
                <span class="sr"> not ready</span>
              </em>
            )}
          </a>
        </li>
      </ul>
      {node && (
        <p class="served">
          <span>served by {node.node_id}</span> <span>{node.version}</span>
        </p>
      )}
    </nav>
  );
}
