// Schedules, which there are none of yet.

import { schedules } from "@trigger.dev/sdk";

const wanted = { task: "my-task", cron: "0 0 * * *", deduplicationKey: "every-night" };

export const create = async () => await schedules.create(wanted);
export const list = async () => await schedules.list();
export const retrieve = async () => await schedules.retrieve("sched_1");
export const update = async () => await schedules.update("sched_1", wanted);
export const del = async () => await schedules.del("sched_1");
export const activate = async () => await schedules.activate("sched_1");
export const deactivate = async () => await schedules.deactivate("sched_1");

export async function timezones(options) {
  return (await schedules.timezones(options)).timezones;
}
