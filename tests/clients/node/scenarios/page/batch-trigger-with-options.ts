import { tasks } from "@trigger.dev/sdk";
import type { emailSequence } from "~/trigger/emails";

const batchHandle = await tasks.batchTrigger<typeof emailSequence>(
  "email-sequence",
  data.users.map((u) => ({
    payload: { to: u.email, name: u.name },
    options: { delay: "1h" }, // 👈 per-item options
  }))
);
