import { TriggerAuthContext } from "@trigger.dev/react-hooks";
import { useCallback, useEffect, useRef, useState } from "react";

import { ask, type Visit } from "./backend";
import { Desk } from "./Desk";
import { Poem } from "./Poem";
import { Reader } from "./Reader";
import { Shelf } from "./Shelf";

const RENEWAL_MS = 45 * 60_000; // tokens are good for an hour
const PATIENCE_MS = 10_000; // between two visits, whoever asks for them

export function App() {
  const [visit, setVisit] = useState<Visit>();
  const [trouble, setTrouble] = useState("");
  const [open, setOpen] = useState<string>();

  const entered = useRef(-Infinity);
  const enter = useCallback((patience = PATIENCE_MS) => {
    if (Date.now() - entered.current < patience) return;
    entered.current = Date.now();
    ask<Visit>("/api/visit").then(setVisit, (error: Error) => setTrouble(error.message));
  }, []);
  useEffect(() => {
    enter();
    const renewal = setInterval(enter, RENEWAL_MS);
    // A computer that slept has missed its turn.
    const onWake = () => document.hidden || enter(RENEWAL_MS);
    document.addEventListener("visibilitychange", onWake);
    return () => {
      clearInterval(renewal);
      document.removeEventListener("visibilitychange", onWake);
    };
  }, [enter]);

  return (
    <div className="page">
      <header className="masthead">
        <Moon />
        <div>
          <h1>Small Hours Press</h1>
          <p>Stories you can read while they are being written.</p>
        </div>
      </header>
      {visit ? (
        // Every hook below finds the server and the token for reading here.
        <TriggerAuthContext.Provider value={{ baseURL: visit.api_url, accessToken: visit.read_token }}>
          <main className="columns">
            <div className="column">
              <Desk shelf={visit.shelf} token={visit.write_token} onOpen={setOpen} onRefused={enter} />
              {open ? <Reader key={open + visit.read_token} runId={open} onRefused={enter} /> : <EmptyPage />}
            </div>
            <aside className="column">
              <Shelf key={visit.read_token} shelf={visit.shelf} open={open} onOpen={setOpen} onRefused={enter} />
              <Poem />
            </aside>
          </main>
        </TriggerAuthContext.Provider>
      ) : (
        <p className="closed" role="status">
          {trouble ? `The press is closed: ${trouble}.` : "Lighting the lamps…"}
        </p>
      )}
      <footer className="imprint">
        React by <code>@trigger.dev/react-hooks</code>, tasks in Python by <code>oncue</code>. The browser holds tokens for
        its own stories, and no key.
      </footer>
    </div>
  );
}

function EmptyPage() {
  return (
    <section className="card sheet blank" aria-label="Story">
      <p>An empty page. Say what it should be about.</p>
    </section>
  );
}

function Moon() {
  return (
    <svg className="moon" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" />
      <path d="M21.5 20.6A8.6 8.6 0 0 1 12 8.2a8.8 8.8 0 1 0 9.5 12.4Z" />
    </svg>
  );
}
