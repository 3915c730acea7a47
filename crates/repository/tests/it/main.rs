//! The crate `repository`, from outside.

mod append_only;
mod archives;
#[path = "../../../store/tests/it/azurite.rs"]
#[expect(dead_code, reason = "tests of stores need more of it")]
mod azurite;
mod chunk;
#[path = "../../../store/tests/it/conformance.rs"]
mod conformance;
mod damage;
mod everywhere;
mod folders;
mod hash;
mod kills;
mod locks;
#[path = "../../../store/tests/it/moto.rs"]
mod moto;
mod objects;
mod parsers;
mod pruning;
#[path = "../../../../fuzz/reads/repository.rs"]
mod reads;
mod rest;
mod restics;
mod restoring;
#[path = "../../../store/tests/it/script.rs"]
#[expect(dead_code, reason = "tests of stores need more of it")]
mod script;
#[path = "../../../store/tests/it/servers.rs"]
#[expect(dead_code, reason = "tests of stores need more of it")]
mod servers;
#[path = "../../../store/tests/it/sshd.rs"]
mod sshd;
mod stock;
mod streams;
mod tars;
mod upkeep;
mod world;
mod writer;
