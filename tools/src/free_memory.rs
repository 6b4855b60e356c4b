//! Memory that this process may still take, as Linux tells it.

use std::fs;
use std::path::Path;

/// Bytes that are left: of the machine's memory, or of a control group's limit (a container's, a batch system's) where that is less.
/// None where the system does not tell.
pub fn free_bytes() -> Option<u64> {
    below(Path::new("/"))
}

/// The same of the system whose files lie below `root`.
fn below(root: &Path) -> Option<u64> {
    let meminfo = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let kilobytes = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let machine = kilobytes.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024;
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let left = groups.lines().filter_map(|line| of_groups(&root.join("sys/fs/cgroup"), line)).min();
    Some(left.map_or(machine, |left| left.min(machine)))
}

/// The files of one version of control groups.
struct Version {
    limit: &'static str,
    usage: &'static str,
    /// Of `memory.stat`: what was read from files and is given up first, but counts as used.
    cache: &'static str,
}

const FIRST: Version =
    Version { limit: "memory.limit_in_bytes", usage: "memory.usage_in_bytes", cache: "total_inactive_file " };
const SECOND: Version = Version { limit: "memory.max", usage: "memory.current", cache: "inactive_file " };

/// Bytes left in the group of a line `number:controllers:path` of `/proc/self/cgroup` and in those around it.
fn of_groups(mounted: &Path, line: &str) -> Option<u64> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, path) = (fields.next()?, fields.next()?);
    let (top, version) = match controllers {
        "" => (mounted.to_owned(), SECOND),
        list if list.split(',').any(|name| name == "memory") => (mounted.join("memory"), FIRST),
        _ => return None,
    };
    // A container may see its own group as the top, whatever its path is outside.
    let group = top.join(path.trim_start_matches('/'));
    let around = group.ancestors().take_while(|folder| folder.starts_with(&top));
    around.filter_map(|folder| of_group(folder, &version)).min()
}

/// Bytes left in one group; none if it has no limit.
fn of_group(folder: &Path, version: &Version) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
    let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
    let (limit, usage) = (number(version.limit)?, number(version.usage)?);
    let stat = read("memory.stat").unwrap_or_default();
    let cache = stat.lines().find_map(|line| line.strip_prefix(version.cache)?.trim().parse::<u64>().ok());
    Some(limit.saturating_sub(usage.saturating_sub(cache.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Free bytes of a system with these files.
    fn free(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        below(root.path())
    }

    const MACHINE: (&str, &str) = ("proc/meminfo", "MemTotal:  9000 kB\nMemAvailable:     5000 kB\n");

    #[test]
    fn the_machine_s_memory_is_what_no_group_limits() {
        assert_eq!(free(&[]), None);
        assert_eq!(free(&[MACHINE]), Some(5000 * 1024));
        let unlimited = [
            MACHINE,
            ("proc/self/cgroup", "0::/user\n"),
            ("sys/fs/cgroup/user/memory.max", "max\n"),
            ("sys/fs/cgroup/user/memory.current", "77\n"),
        ];
        assert_eq!(free(&unlimited), Some(5000 * 1024));
    }

    #[test]
    fn the_narrowest_group_decides_and_its_cache_counts_as_free() {
        let second = [
            MACHINE,
            ("proc/self/cgroup", "0::/job/step\n"),
            ("sys/fs/cgroup/job/memory.max", "100000\n"),
            ("sys/fs/cgroup/job/memory.current", "70000\n"),
            ("sys/fs/cgroup/job/memory.stat", "anon 40000\ninactive_file 30000\nactive_file 5\n"),
            ("sys/fs/cgroup/job/step/memory.max", "90000\n"),
            ("sys/fs/cgroup/job/step/memory.current", "10000\n"),
        ];
        assert_eq!(free(&second), Some(60_000));
        let first = [
            MACHINE,
            ("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/not/seen/here\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "100000\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "70000\n"),
            ("sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 20000\n"),
        ];
        assert_eq!(free(&first), Some(50_000));
    }
}
