import { useEffect, useState } from 'preact/hooks';

/** The way that works where a browser gives no clipboard: over plain HTTP, or without the permission. */
function copyOld(text: string): boolean {
  const field = document.createElement('textarea');
  field.value = text;
  field.className = 'sr';
  document.body.append(field);
  field.select();
  const done = document.execCommand('copy');
  field.remove();
  return done;
}

/** Puts text on the clipboard and says so; where the browser refuses, it says that. */
export function Copy({ text, what }: { text: string; what: string }) {
  const [said, say] = useState('copy');
  useEffect(() => {
    if (said === 'copy') return undefined;
    const id = setTimeout(() => say('copy'), 1500);
    return () => clearTimeout(id);
  }, [said]);
  const copy = (): void => {
    const asked = navigator.clipboard?.writeText(text) ?? Promise.reject(new Error('no clipboard'));
    asked.then(
      () => say('copied'),
      () => say(copyOld(text) ? 'copied' : 'refused'),
    );
  };
  return (
    <button type="button" class="copy" onClick={copy} aria-label={`copy ${what}`}>
      {said}
    </button>
  );
}
