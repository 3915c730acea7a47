//! Folders: blobs of JSON with an entry for each name.

use std::{borrow::Cow, collections::HashSet, io};

use serde::{Deserialize, Serialize as _};
use serde_json::ser::{CharEscape, Formatter};

use crate::{Id, Node, RepositoryError, node::check_name, quote, snapshot::null_is_empty};

/// A folder, read. Its names are distinct, and none reaches elsewhere.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tree {
    /// Its entries, as they were written: by name.
    pub nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct TreeJson {
    #[serde(default, deserialize_with = "null_is_empty")]
    nodes: Vec<Node>,
}

fn bad(how: impl ToString) -> RepositoryError {
    RepositoryError::malformed("a tree", how)
}

impl Tree {
    /// Reads the plain bytes of a tree blob.
    pub fn parse(json: &[u8]) -> Result<Self, RepositoryError> {
        let TreeJson { nodes } = serde_json::from_slice(json).map_err(bad)?;
        check_names(nodes.iter().map(|node| Cow::Borrowed(node.name.as_slice())))?;
        Ok(Self { nodes })
    }

    /// The entry called `name`.
    pub fn get(&self, name: &[u8]) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }
}

/// Names are sorted where restic or we wrote them: then neighbours tell whether two are the same.
fn check_names<'a>(names: impl Iterator<Item = Cow<'a, [u8]>>) -> Result<(), RepositoryError> {
    let mut last: Option<Cow<'a, [u8]>> = None;
    let mut seen: Option<HashSet<Cow<'a, [u8]>>> = None;
    let mut before = Vec::new();
    for name in names {
        check_name(&name)?;
        if seen.is_none() && last.as_ref().is_some_and(|last| *last >= name) {
            seen = Some(before.drain(..).collect());
        }
        let is_new = match &mut seen {
            Some(seen) => seen.insert(name.clone()),
            None => {
                before.push(name.clone());
                true
            }
        };
        if !is_new {
            let name = String::from_utf8_lossy(&name).into_owned();
            return Err(RepositoryError::Name { name, why: "its folder has two of that name" });
        }
        last = Some(name);
    }
    Ok(())
}

/// Writes a folder's entries, one after the other, by name.
#[derive(Debug)]
pub struct TreeBuilder {
    json: Vec<u8>,
    last: Option<Vec<u8>>,
}

impl Default for TreeBuilder {
    fn default() -> Self {
        Self { json: br#"{"nodes":["#.to_vec(), last: None }
    }
}

impl TreeBuilder {
    /// Adds an entry; names come in ascending order of their bytes, each once.
    pub fn add(&mut self, node: &Node) -> Result<(), RepositoryError> {
        check_name(&node.name)?;
        if self.last.as_ref().is_some_and(|last| *last >= node.name) {
            let name = String::from_utf8_lossy(&node.name).into_owned();
            return Err(RepositoryError::Name { name, why: "it comes after one that is no less" });
        }
        if self.last.is_some() {
            self.json.push(b',');
        }
        let mut serializer = serde_json::Serializer::with_formatter(&mut self.json, GoFormatter);
        node.serialize(&mut serializer).map_err(|e| RepositoryError::Internal(e.to_string()))?;
        self.last = Some(node.name.clone());
        Ok(())
    }

    /// How many bytes it has so far.
    pub fn len(&self) -> usize {
        self.json.len()
    }

    /// Whether it has no entry.
    pub fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// The plain bytes of the tree blob; their SHA-256 is its id.
    pub fn finish(mut self) -> Vec<u8> {
        self.json.extend_from_slice(b"]}\n");
        self.json
    }
}

/// The entries of a folder, in any order, as a tree blob.
pub fn to_bytes(mut nodes: Vec<Node>) -> Result<Vec<u8>, RepositoryError> {
    nodes.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let mut builder = TreeBuilder::default();
    for node in &nodes {
        builder.add(node)?;
    }
    Ok(builder.finish())
}

/// What an entry needs of the repository.
#[derive(Debug, Deserialize)]
pub struct References<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    /// The blobs of a file.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub content: Vec<Id>,
    /// The tree of a folder.
    #[serde(default)]
    pub subtree: Option<Id>,
    /// The size that the entry tells, in bytes.
    #[serde(default)]
    pub size: u64,
}

impl References<'_> {
    /// Whether it is a file.
    pub fn is_file(&self) -> bool {
        self.kind == "file"
    }
}

#[derive(Deserialize)]
struct ReferencesJson<'a> {
    #[serde(default, borrow, deserialize_with = "null_is_empty")]
    nodes: Vec<References<'a>>,
}

/// What the entries of a tree need; quicker than [`Tree::parse`], and as strict with names.
pub fn references(json: &[u8]) -> Result<Vec<References<'_>>, RepositoryError> {
    let ReferencesJson { nodes } = serde_json::from_slice(json).map_err(bad)?;
    let mut names = Vec::with_capacity(nodes.len());
    for node in &nodes {
        names.push(match &node.name {
            name if name.contains('\\') => Cow::Owned(quote::unquote(name).map_err(bad)?),
            name => Cow::Borrowed(name.as_bytes()),
        });
        if node.kind == "dir" && node.subtree.is_none() {
            return Err(bad(format!("the folder `{}` has no tree", node.name)));
        }
    }
    check_names(names.into_iter())?;
    Ok(nodes)
}

/// JSON as Go writes it, which escapes what could be taken for HTML: restic compares.
struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            writer.write_all(&rest.as_bytes()[..at])?;
            let mut chars = rest[at..].chars();
            if let Some(c) = chars.next() {
                write!(writer, "\\u{:04x}", c as u32)?;
            }
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        let text = match escape {
            CharEscape::Quote => "\\\"",
            CharEscape::ReverseSolidus => "\\\\",
            CharEscape::Solidus => "\\/",
            CharEscape::Backspace => "\\b",
            CharEscape::FormFeed => "\\f",
            CharEscape::LineFeed => "\\n",
            CharEscape::CarriageReturn => "\\r",
            CharEscape::Tab => "\\t",
            CharEscape::AsciiControl(byte) => return write!(writer, "\\u{byte:04x}"),
        };
        writer.write_all(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeKind;

    #[test]
    fn a_tree_is_read_and_written_as_restic_writes_it() {
        let json = concat!(
            r#"{"nodes":[{"name":"a\\xff\u003cb","type":"file","mode":420,"#,
            r#""mtime":"2014-12-06T17:50:23.34513538Z","atime":"2014-12-06T17:50:23.338468713Z","#,
            r#""ctime":"2014-12-06T17:50:23.34513538Z","uid":1000,"gid":100,"user":"fd0","#,
            r#""inode":416863351,"size":1234,"links":1,"content":["#,
            r#""50f77b3b4291e8411a027b9f9b9e64658181cc676ce6ba9958b95f268cb1109d"]},"#,
            r#"{"name":"sub","type":"dir","mode":2147484141,"uid":0,"gid":0,"content":null,"#,
            r#""subtree":"b26e315b0988ddcd1cee64c351d13a100fedbc9fdbb144a67d1b765ab280b4dc","#,
            r#""later":{"x":1}}]}"#,
            "\n"
        );
        let tree = Tree::parse(json.as_bytes()).unwrap();
        assert_eq!(tree.nodes[0].name, b"a\xff<b");
        assert_eq!(tree.nodes[1].unix_mode(), 0o755);
        assert_eq!(references(json.as_bytes()).unwrap().len(), 2);
        let again = to_bytes(tree.nodes).unwrap();
        assert_eq!(String::from_utf8(again).unwrap(), json);
    }

    #[test]
    fn names_that_reach_elsewhere_are_refused() {
        let json = |names: &[&str]| {
            let nodes: Vec<_> = names
                .iter()
                .map(|name| serde_json::json!({"name": name, "type": "file", "content": null}))
                .collect();
            serde_json::json!({ "nodes": nodes }).to_string()
        };
        let hostile: &[&[&str]] = &[
            &["../x"],
            &["a/b"],
            &["\\x2e\\x2e"],
            &["a\\x2fb"],
            &[""],
            &["."],
            &["a", "a"],
            &["b", "c", "a", "b"],
            &["a", "\\x61"],
            &["a\\x00"],
        ];
        for names in hostile {
            let json = json(names);
            for refused in
                [Tree::parse(json.as_bytes()).map(drop), references(json.as_bytes()).map(drop)]
            {
                assert!(matches!(refused, Err(RepositoryError::Name { .. })), "{names:?}");
            }
        }
        assert!(Tree::parse(json(&["b", "a", "c"]).as_bytes()).is_ok());
        let mut builder = TreeBuilder::default();
        builder.add(&Node::new(b"b", NodeKind::File)).unwrap();
        assert!(builder.add(&Node::new(b"a", NodeKind::File)).is_err());
        assert!(builder.add(&Node::new(b"c/d", NodeKind::File)).is_err());
    }
}
