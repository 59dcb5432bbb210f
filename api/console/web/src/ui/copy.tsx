import { useEffect, useState } from 'preact/hooks';

/** Puts text on the clipboard and says so; where the browser refuses, it says that. */
export function Copy({ text, what }: { text: string; what: string }) {
  const [said, say] = useState('copy');
  useEffect(() => {
    if (said === 'copy') return undefined;
    const id = setTimeout(() => say('copy'), 1500);
    return () => clearTimeout(id);
  }, [said]);
  const copy = (): void => {
    Promise.resolve(navigator.clipboard?.writeText(text) ?? Promise.reject(new Error('no clipboard'))).then(
      () => say('copied'),
      () => say('refused'),
    );
  };
  return (
    <button type="button" class="copy" onClick={copy} aria-label={`copy ${what}`}>
      {said}
    </button>
  );
}
