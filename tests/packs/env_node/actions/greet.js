console.log(require("attune-greeting"));
