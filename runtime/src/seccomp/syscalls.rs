//! System calls by name and number, and which of them a container may use: the allow list that container engines agree on.

/// A name (with `SYS_` in front) and its number on this architecture.
pub type Syscall = (&'static str, u32);

/// Lists system calls by their constants, so that a name and a number cannot differ.
macro_rules! syscalls {
    [$($name:ident),* $(,)?] => { &[$((stringify!($name), libc::$name as u32)),*] };
}

/// Always allowed, whatever the arguments.
#[rustfmt::skip]
const ALLOWED: &[Syscall] = syscalls![
    SYS_accept, SYS_accept4, SYS_adjtimex, SYS_bind, SYS_brk, SYS_capget, SYS_capset, SYS_chdir,
    SYS_clock_adjtime, SYS_clock_getres, SYS_clock_gettime, SYS_clock_nanosleep, SYS_close, SYS_close_range,
    SYS_connect, SYS_copy_file_range, SYS_dup, SYS_dup3, SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait,
    SYS_epoll_pwait2, SYS_eventfd2, SYS_execve, SYS_execveat, SYS_exit, SYS_exit_group, SYS_faccessat,
    SYS_faccessat2, SYS_fadvise64, SYS_fallocate, SYS_fanotify_mark, SYS_fchdir, SYS_fchmod, SYS_fchmodat,
    SYS_fchmodat2, SYS_fchown, SYS_fchownat, SYS_fcntl, SYS_fdatasync, SYS_fgetxattr, SYS_flistxattr, SYS_flock,
    SYS_fremovexattr, SYS_fsetxattr, SYS_fstat, SYS_fstatfs, SYS_fsync, SYS_ftruncate, SYS_futex, 
    SYS_futex_waitv, SYS_get_robust_list, SYS_getcpu, SYS_getcwd, SYS_getdents64,
    SYS_getegid, SYS_geteuid, SYS_getgid, SYS_getgroups, SYS_getitimer, SYS_getpeername, SYS_getpgid, SYS_getpid,
    SYS_getppid, SYS_getpriority, SYS_getrandom, SYS_getresgid, SYS_getresuid, SYS_getrlimit, SYS_getrusage,
    SYS_getsid, SYS_getsockname, SYS_getsockopt, SYS_gettid, SYS_gettimeofday, SYS_getuid, SYS_getxattr,
    SYS_inotify_add_watch, SYS_inotify_init1, SYS_inotify_rm_watch, SYS_io_cancel, SYS_io_destroy,
    SYS_io_getevents, SYS_io_setup, SYS_io_submit, SYS_ioctl, SYS_ioprio_get, SYS_ioprio_set,
    SYS_kill, SYS_landlock_add_rule, SYS_landlock_create_ruleset, SYS_landlock_restrict_self, SYS_lgetxattr,
    SYS_linkat, SYS_listen, SYS_listxattr, SYS_llistxattr, SYS_lremovexattr, SYS_lseek, SYS_lsetxattr, SYS_madvise,
    SYS_membarrier, SYS_memfd_create, SYS_memfd_secret, SYS_mincore, SYS_mkdirat,
    SYS_mknodat, SYS_mlock, SYS_mlock2, SYS_mlockall, SYS_mmap, SYS_mprotect, SYS_mq_getsetattr, SYS_mq_notify,
    SYS_mq_open, SYS_mq_timedreceive, SYS_mq_timedsend, SYS_mq_unlink, SYS_mremap, SYS_mseal, SYS_msgctl, SYS_msgget,
    SYS_msgrcv, SYS_msgsnd, SYS_msync, SYS_munlock, SYS_munlockall, SYS_munmap, SYS_name_to_handle_at,
    SYS_nanosleep, SYS_newfstatat, SYS_openat, SYS_openat2, SYS_pidfd_open, SYS_pidfd_send_signal, SYS_pipe2,
    SYS_pkey_alloc, SYS_pkey_free, SYS_pkey_mprotect, SYS_ppoll, SYS_prctl, SYS_pread64, SYS_preadv, SYS_preadv2,
    SYS_prlimit64, SYS_process_mrelease, SYS_process_vm_readv, SYS_process_vm_writev, SYS_pselect6, SYS_ptrace,
    SYS_pwrite64, SYS_pwritev, SYS_pwritev2, SYS_read, SYS_readahead, SYS_readlinkat, SYS_readv, SYS_recvfrom,
    SYS_recvmmsg, SYS_recvmsg, SYS_remap_file_pages, SYS_removexattr, SYS_renameat, SYS_renameat2,
    SYS_restart_syscall, SYS_rseq, SYS_rt_sigaction, SYS_rt_sigpending, SYS_rt_sigprocmask, SYS_rt_sigqueueinfo,
    SYS_rt_sigreturn, SYS_rt_sigsuspend, SYS_rt_sigtimedwait, SYS_rt_tgsigqueueinfo, SYS_sched_get_priority_max,
    SYS_sched_get_priority_min, SYS_sched_getaffinity, SYS_sched_getattr, SYS_sched_getparam,
    SYS_sched_getscheduler, SYS_sched_rr_get_interval, SYS_sched_setaffinity, SYS_sched_setattr,
    SYS_sched_setparam, SYS_sched_setscheduler, SYS_sched_yield, SYS_seccomp, SYS_semctl, SYS_semget, SYS_semop,
    SYS_semtimedop, SYS_sendfile, SYS_sendmmsg, SYS_sendmsg, SYS_sendto, SYS_set_robust_list, SYS_set_tid_address,
    SYS_setfsgid, SYS_setfsuid, SYS_setgid, SYS_setgroups, SYS_setitimer, SYS_setpgid, SYS_setpriority,
    SYS_setregid, SYS_setresgid, SYS_setresuid, SYS_setreuid, SYS_setrlimit, SYS_setsid, SYS_setsockopt,
    SYS_setuid, SYS_setxattr, SYS_shmat, SYS_shmctl, SYS_shmdt, SYS_shmget, SYS_shutdown, SYS_sigaltstack,
    SYS_signalfd4, SYS_socketpair, SYS_splice, SYS_statfs, SYS_statx, SYS_symlinkat, SYS_sync, SYS_sync_file_range,
    SYS_syncfs, SYS_sysinfo, SYS_tee, SYS_tgkill, SYS_timer_create, SYS_timer_delete, SYS_timer_getoverrun,
    SYS_timer_gettime, SYS_timer_settime, SYS_timerfd_create, SYS_timerfd_gettime, SYS_timerfd_settime, SYS_times,
    SYS_tkill, SYS_truncate, SYS_umask, SYS_uname, SYS_unlinkat, SYS_utimensat, SYS_vmsplice, SYS_wait4,
    SYS_waitid, SYS_write, SYS_writev,
];

/// Always allowed too; the libc crate does not name them. Since Linux 5.1 new calls have one number on all architectures.
const ALLOWED_NEWER: &[Syscall] = &[
    ("SYS_io_pgetevents", if cfg!(target_arch = "x86_64") { 333 } else { 292 }),
    ("SYS_cachestat", 451),
    ("SYS_map_shadow_stack", 453),
    ("SYS_futex_wake", 454),
    ("SYS_futex_wait", 455),
    ("SYS_futex_requeue", 456),
];

/// Calls that only this architecture has, always allowed as well.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const ALLOWED_HERE: &[Syscall] = syscalls![
    SYS_access, SYS_alarm, SYS_arch_prctl, SYS_chmod, SYS_chown, SYS_creat, SYS_dup2, SYS_epoll_create,
    SYS_epoll_ctl_old, SYS_epoll_wait, SYS_epoll_wait_old, SYS_eventfd, SYS_fork, SYS_futimesat, SYS_get_thread_area,
    SYS_getdents, SYS_getpgrp, SYS_inotify_init, SYS_lchown, SYS_link, SYS_lstat, SYS_mkdir, SYS_mknod,
    SYS_modify_ldt, SYS_open, SYS_pause, SYS_pipe, SYS_poll, SYS_readlink, SYS_rename, SYS_rmdir, SYS_select,
    SYS_set_thread_area, SYS_signalfd, SYS_stat, SYS_symlink, SYS_time, SYS_unlink, SYS_utime, SYS_utimes, SYS_vfork,
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[Syscall] = &[];

/// Allowed to a container that has the capability (by its number in capability.h).
#[rustfmt::skip]
pub const BY_CAPABILITY: &[(u32, &[Syscall])] = &[
    (2 /* DAC_READ_SEARCH */, syscalls![SYS_open_by_handle_at]),
    (16 /* SYS_MODULE */, syscalls![SYS_delete_module, SYS_init_module, SYS_finit_module]),
    (18 /* SYS_CHROOT */, syscalls![SYS_chroot]),
    (19 /* SYS_PTRACE */, syscalls![SYS_kcmp, SYS_pidfd_getfd, SYS_process_madvise]),
    (20 /* SYS_PACCT */, syscalls![SYS_acct]),
    (21 /* SYS_ADMIN */, syscalls![
        SYS_bpf, SYS_clone, SYS_clone3, SYS_fanotify_init, SYS_fsconfig, SYS_fsmount, SYS_fsopen, SYS_fspick,
        SYS_lookup_dcookie, SYS_mount, SYS_mount_setattr, SYS_move_mount, SYS_open_tree, SYS_perf_event_open,
        SYS_quotactl, SYS_quotactl_fd, SYS_setdomainname, SYS_sethostname, SYS_setns, SYS_syslog, SYS_umount2,
        SYS_unshare,
    ]),
    (22 /* SYS_BOOT */, syscalls![SYS_reboot]),
    (23 /* SYS_NICE */, syscalls![SYS_get_mempolicy, SYS_mbind, SYS_set_mempolicy, SYS_set_mempolicy_home_node]),
    (25 /* SYS_TIME */, syscalls![SYS_clock_settime, SYS_settimeofday]),
    (26 /* SYS_TTY_CONFIG */, syscalls![SYS_vhangup]),
    (34 /* SYSLOG */, syscalls![SYS_syslog]),
    (38 /* PERFMON */, syscalls![SYS_perf_event_open]),
    (39 /* BPF */, syscalls![SYS_bpf]),
];

/// Port access: only on this architecture, and only with SYS_RAWIO.
#[cfg(target_arch = "x86_64")]
pub const RAW_IO: &[Syscall] = syscalls![SYS_iopl, SYS_ioperm];
#[cfg(not(target_arch = "x86_64"))]
pub const RAW_IO: &[Syscall] = &[];

/// In no list above: a profile of the user's own may name them.
#[rustfmt::skip]
pub const OTHERS: &[Syscall] = syscalls![
    SYS_add_key, SYS_clone, SYS_clone3, SYS_io_uring_enter, SYS_io_uring_register, SYS_io_uring_setup,
    SYS_kexec_file_load, SYS_kexec_load, SYS_keyctl, SYS_migrate_pages, SYS_move_pages, SYS_nfsservctl,
    SYS_personality, SYS_pivot_root, SYS_request_key, SYS_socket, SYS_swapoff, SYS_swapon, SYS_userfaultfd,
];

/// What every container may call.
pub fn allowed() -> impl Iterator<Item = &'static Syscall> {
    ALLOWED.iter().chain(ALLOWED_HERE).chain(ALLOWED_NEWER)
}

/// The number of a system call by its plain name.
pub fn number(name: &str) -> Option<u32> {
    let by_capability = BY_CAPABILITY.iter().flat_map(|(_, list)| list.iter());
    let all = allowed().chain(by_capability).chain(RAW_IO).chain(OTHERS);
    all.copied().find(|(known, _)| known.strip_prefix("SYS_") == Some(name)).map(|(_, number)| number)
}
