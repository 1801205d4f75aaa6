module.exports = "hello from 1.0.0";
