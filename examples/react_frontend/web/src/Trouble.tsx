import { useEffect } from "react";

import { isRefused } from "./backend";

/** What went wrong; where only the visitor's tokens have run out, new ones are asked for. */
export function Trouble({ error, onRefused }: { error: Error | undefined; onRefused: () => void }) {
  const refused = isRefused(error);
  useEffect(() => {
    if (refused) onRefused();
  }, [refused, onRefused]);
  if (!error) return null;
  return <p className="note">{refused ? "The lamps went out for a moment; please try again." : error.message}</p>;
}
