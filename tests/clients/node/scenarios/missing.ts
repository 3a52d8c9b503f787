// What this server does not have.

import { concurrencyLimits, deployments, envvars, query } from "@trigger.dev/sdk";

const list = async () => await envvars.list("proj_1", "dev");
const current = async () => await deployments.retrieveCurrent();
const limits = async () => await concurrencyLimits.list();
const execute = async () => await query.execute("SELECT run_id FROM runs");

export { limits as concurrencyLimits, current as deployments, list as envvars, execute as query };
