// Makes a slug with a package from a directory. Parameters: a JSON object on standard input.
import { readFileSync } from "node:fs";
import { slug, version } from "attune-slug";

const { title } = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify({ slug: slug(title), library: version }));
