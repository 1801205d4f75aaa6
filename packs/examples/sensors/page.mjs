// Fetches the pages that rules name, and sends an event when one is not what it was at the last look.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

const { ATTUNE_API_URL, ATTUNE_API_TOKEN, ATTUNE_SENSOR_TRIGGERS, ATTUNE_SENSOR_TRIGGERS_FILE } = process.env;
// All enabled rules of this sensor's triggers; a list that is too long for a variable comes in a file.
const rules = JSON.parse(ATTUNE_SENSOR_TRIGGERS ?? readFileSync(ATTUNE_SENSOR_TRIGGERS_FILE, "utf-8"));

async function send(rule, payload) {
  const answer = await fetch(`${ATTUNE_API_URL}/api/v1/events`, {
    method: "POST",
    headers: { Authorization: `Bearer ${ATTUNE_API_TOKEN}`, "Content-Type": "application/json" },
    body: JSON.stringify({ trigger_ref: rule.trigger_ref, trigger_instance_id: `rule_${rule.id}`, payload }),
    signal: AbortSignal.timeout(10_000),
  });
  if (!answer.ok) throw new Error(`the server answered ${answer.status}: ${await answer.text()}`);
}

async function watch(rule) {
  const { url, every = 60 } = rule.config;
  let before;
  for (;;) {
    try {
      const page = await fetch(url, { signal: AbortSignal.timeout(10_000) });
      const sha256 = createHash("sha256").update(Buffer.from(await page.arrayBuffer())).digest("hex");
      if (before !== undefined && sha256 !== before) await send(rule, { url, status: page.status, sha256 });
      before = sha256; // only when the event was taken: else it is sent after the next look
    } catch (error) {
      console.error(`rule ${rule.ref}: ${error.message}`);
    }
    await new Promise((resolve) => setTimeout(resolve, every * 1000));
  }
}

await Promise.all(rules.map(watch));
