//! The container that this process runs in.

/// Its id; `None` outside of containers.
pub(crate) async fn own_container() -> Option<String> {
    id_in(&tokio::fs::read_to_string("/proc/self/mountinfo").await.ok()?)
}

/// Docker mounts `resolv.conf` and its like from a folder that is named by the container's id.
fn id_in(mountinfo: &str) -> Option<String> {
    mountinfo.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(3);
        let (root, at) = (fields.next()?, fields.next()?);
        if !matches!(at, "/etc/resolv.conf" | "/etc/hostname" | "/etc/hosts") {
            return None;
        }
        let (_, rest) = root.split_once("/containers/")?;
        let id = rest.split('/').next()?;
        let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then(|| id.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::id_in;

    #[test]
    fn the_own_container_is_read_from_its_mounts() {
        let id = "0123456789abcdef".repeat(4);
        let line = format!(
            "812 790 254:1 /var/lib/docker/containers/{id}/resolv.conf /etc/resolv.conf rw - ext4"
        );
        assert_eq!(id_in(&format!("1 2 0:1 / / rw - overlay\n{line}\n")), Some(id.clone()));
        // A machine that keeps other containers' folders mounted is none itself.
        let other = line.replace(" /etc/resolv.conf", " /mnt/containers/x/resolv.conf");
        assert_eq!(id_in(&other), None);
        assert_eq!(id_in("1 2 0:1 / / rw - ext4\n"), None);
    }
}
