//! The roles that a script of `pg_dump` names: owners and grantees. They are not in the script.

use std::collections::BTreeSet;

use super::globals::name;

/// Longest line that is looked at.
const MAX_LINE: usize = 64 << 10;
/// What stands before a role.
const BEFORE: &[&str] = &[
    " OWNER TO ",
    " AUTHORIZATION ",
    " FOR ROLE ",
    " TO ",
    " FROM ",
    "SET SESSION AUTHORIZATION ",
];
/// How the statements begin that name one.
const STATEMENTS: &[&str] =
    &["ALTER ", "GRANT ", "REVOKE ", "CREATE POLICY ", "CREATE SCHEMA ", "SET SESSION "];
/// Words that stand where a role may and are none.
const NONE: &[&str] = &["PUBLIC", "public", "current_user", "session_user"];

/// Looks at a script line by line. What it takes for a role and is none does no harm.
#[derive(Debug, Default)]
pub(crate) struct Finder {
    line: Vec<u8>,
    is_long: bool,
}

impl Finder {
    pub(crate) fn push(&mut self, mut chunk: &[u8], roles: &mut BTreeSet<String>) {
        while !chunk.is_empty() {
            let end = memchr::memchr(b'\n', chunk);
            let part = &chunk[..end.unwrap_or(chunk.len())];
            chunk = end.map_or(&[], |end| &chunk[end + 1..]);
            if self.line.len() + part.len() > MAX_LINE {
                self.is_long = true;
            } else {
                self.line.extend_from_slice(part);
            }
            if end.is_some() {
                if !self.is_long {
                    find(&self.line, roles);
                }
                self.line.clear();
                self.is_long = false;
            }
        }
    }
}

fn find(line: &[u8], roles: &mut BTreeSet<String>) {
    let Ok(line) = std::str::from_utf8(line) else { return };
    if !line.ends_with(';') || !STATEMENTS.iter().any(|start| line.starts_with(start)) {
        return;
    }
    for before in BEFORE {
        let Some((_, after)) = line.rsplit_once(before) else { continue };
        if let Some((role, _)) = name(after)
            && !NONE.contains(&role.as_str())
            && !role.starts_with("pg_")
        {
            roles.insert(role);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_and_grantees_are_found() {
        let script = b"CREATE TABLE t (a text);\nALTER TABLE public.t OWNER TO \"Shop app\";\n\
            GRANT SELECT ON TABLE public.t TO reader;\nREVOKE ALL ON SCHEMA public FROM PUBLIC;\n\
            ALTER DEFAULT PRIVILEGES FOR ROLE boss IN SCHEMA public GRANT SELECT ON TABLES  TO reader;\n";
        let mut roles = BTreeSet::new();
        let mut finder = Finder::default();
        script.chunks(7).for_each(|chunk| finder.push(chunk, &mut roles));
        let roles: Vec<_> = roles.into_iter().collect();
        assert_eq!(roles, ["Shop app", "boss", "reader"]);
    }
}
