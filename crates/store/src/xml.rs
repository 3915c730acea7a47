//! XML answers of object stores.

use serde::de::DeserializeOwned;

/// `body` as a document of `root`. A page of a proxy, an error sent with 200 or half an answer
/// would otherwise read as an empty list.
pub(crate) fn parsed<T: DeserializeOwned>(root: &str, body: &str) -> Result<T, String> {
    // Azure begins its answers with one.
    let body = body.trim_start_matches('\u{feff}');
    let mut reader = quick_xml::Reader::from_str(body);
    let first = loop {
        match reader.read_event() {
            Ok(
                quick_xml::events::Event::Start(element) | quick_xml::events::Event::Empty(element),
            ) => {
                break element.local_name().as_ref().to_owned();
            }
            Ok(quick_xml::events::Event::Eof) => return Err("the answer is empty".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(format!("the answer cannot be read: {error}")),
        }
    };
    if first != root {
        let said: String = body.chars().filter(|c| !c.is_control()).take(200).collect();
        return Err(format!("the answer is no {root}: {said}"));
    }
    quick_xml::de::from_str(body).map_err(|error| format!("the answer cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_document_is_an_answer() {
        #[derive(Debug, serde::Deserialize)]
        struct Page {
            #[serde(rename = "IsTruncated")]
            truncated: bool,
        }
        let read = |body: &str| parsed::<Page>("Root", body);
        let whole =
            "<?xml version=\"1.0\"?>\n<Root xmlns=\"x\"><IsTruncated>true</IsTruncated></Root>";
        assert!(read(whole).unwrap().truncated);
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err(), "{} was accepted", &whole[..end]);
        }
        assert!(read(&whole.replace("Root", "Error")).is_err());
        assert!(read("<!doctype html><html>Sign in</html>").is_err());
        assert!(read("{}").is_err());
    }
}
