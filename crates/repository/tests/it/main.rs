//! The crate `repository`, from outside.

mod chunk;
#[path = "../../../store/tests/it/conformance.rs"]
mod conformance;
mod damage;
mod folders;
mod hash;
mod kills;
mod locks;
mod objects;
mod parsers;
mod pruning;
#[path = "../../../../fuzz/reads/repository.rs"]
mod reads;
mod restics;
mod restoring;
#[path = "../../../store/tests/it/script.rs"]
#[expect(dead_code, reason = "tests of stores need more of it")]
mod script;
#[path = "../../../store/tests/it/servers.rs"]
#[expect(dead_code, unused_imports, reason = "tests of stores need more of it")]
mod servers;
#[path = "../../../store/tests/it/sshd.rs"]
mod sshd;
mod stock;
mod streams;
mod upkeep;
mod world;
mod writer;
