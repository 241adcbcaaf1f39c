//! What a machine's first boot runs, taken out of a launch template as cloud-init would.

/// The part of this name of user data: of a MIME document, or all of what is one script.
pub(crate) fn part(user_data: &str, name: &str) -> String {
    let Some(head) = user_data.strip_prefix("Content-Type: multipart/mixed; boundary=\"") else {
        assert!(user_data.starts_with("#!/bin/sh\n"), "{user_data}");
        return user_data.to_owned();
    };
    let (boundary, parts) = head.split_once('"').unwrap();
    let line = format!("--{boundary}");
    let mut parts = parts.split(&line).map(str::trim_start);
    let part = parts.find(|part| part.contains(&format!("filename=\"{name}\""))).unwrap();
    let (_, content) = part.split_once("\n\n").unwrap();
    // The line's end before a boundary belongs to the boundary (RFC 2046, 5.1.1).
    content.strip_suffix('\n').unwrap_or(content).to_owned()
}
