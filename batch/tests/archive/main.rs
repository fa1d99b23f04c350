//! The archive from outside: killed processes, racing processes, and the readers people use.

mod killed;
mod readers;
