/** A dot whose colour is a run's status. */
export function Lamp({ status }: { status: string }) {
  return <i className="lamp" data-status={status} aria-hidden="true" />;
}
