// Lets files anywhere import the client that the test chose, where npm installed it outside the tree.

import { registerHooks } from "node:module";
import { pathToFileURL } from "node:url";

const { CLIENT_TEST_PACKAGES: packages, CLIENT_TEST_SDK: sdk } = process.env;
const whole = pathToFileURL(`${packages}/package.json`).href;
const part = pathToFileURL(`${packages}/node_modules/${sdk}/package.json`).href;

registerHooks({
  resolve(specifier, context, next) {
    if (!specifier.startsWith("@trigger.dev/") || context.parentURL?.includes("/node_modules/")) {
      return next(specifier, context);
    }
    // What the client is made of is found from where it stands: each version has its own.
    return specifier === "@trigger.dev/sdk"
      ? next(sdk, { ...context, parentURL: whole })
      : next(specifier, { ...context, parentURL: part });
  },
});
