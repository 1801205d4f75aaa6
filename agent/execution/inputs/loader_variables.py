"""Variables by which a shell, the linker or a language loads code, or which a shell keeps for itself (pure data).

Whoever may ask for an execution may set its ``env_vars`` and name its parameters; that must not be enough to run code
of their own inside an action that has secrets.
"""

from __future__ import annotations

from collections.abc import Mapping

#: By whom they are read; a name that ends in ``*`` stands for all that begin so.
LOADING: Mapping[str, tuple[str, ...]] = {
    "programs": ("PATH", "HOME"),
    "linker": ("LD_*", "DYLD_*", "GLIBC_TUNABLES", "GCONV_PATH", "LOCPATH", "MALLOC_*", "NLSPATH"),
    "shell": (
        *("BASH_ENV", "ENV", "BASH_FUNC_*", "BASH_LOADABLES_PATH", "BASH_XTRACEFD", "BASHOPTS", "SHELLOPTS", "IFS"),
        *("PS0", "PS1", "PS4", "PROMPT_COMMAND", "CDPATH", "FPATH", "ZDOTDIR", "GLOBIGNORE", "EXECIGNORE"),
    ),
    "python": (
        *("PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME", "PYTHONINSPECT", "PYTHONEXECUTABLE", "PYTHONUSERBASE"),
        *("PYTHONPLATLIBDIR", "PYTHONBREAKPOINT", "PYTHONWARNINGS", "PYTHONPYCACHEPREFIX", "VIRTUAL_ENV"),
    ),
    "node": ("NODE_OPTIONS", "NODE_PATH", "NODE_REPL_EXTERNAL_MODULE", "NODE_EXTRA_CA_CERTS"),
    "ruby": ("RUBYOPT", "RUBYLIB", "RUBYSHELL", "RUBYPATH", "GEM_HOME", "GEM_PATH", "BUNDLE_*"),
    "perl": ("PERL5OPT", "PERL5LIB", "PERLLIB", "PERL5DB", "PERL5SHELL", "PERLIO"),
    "java": ("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "JDK_JAVAC_OPTIONS", "CLASSPATH", "JAVA_HOME"),
    "go": ("GOFLAGS", "GOROOT", "GOPATH", "GOENV", "GOTOOLCHAIN", "GOTOOLDIR", "GOEXPERIMENT", "CGO_*"),
    "r": ("R_LIBS", "R_LIBS_*", "R_PROFILE", "R_PROFILE_USER", "R_ENVIRON", "R_ENVIRON_USER", "R_HOME"),
    "php": ("PHPRC", "PHP_INI_SCAN_DIR"),
    "lua": ("LUA_INIT*", "LUA_PATH*", "LUA_CPATH*"),
    "dotnet": ("DOTNET_STARTUP_HOOKS", "DOTNET_ADDITIONAL_DEPS", "CORECLR_*", "COMPlus_*", "PSModulePath"),
    "awk, tcl": ("AWKPATH", "AWKLIBPATH", "TCLLIBPATH"),
    "openssl": ("OPENSSL_CONF", "OPENSSL_MODULES", "OPENSSL_ENGINES", "SSLKEYLOGFILE"),
    "git": (
        *("GIT_SSH", "GIT_SSH_COMMAND", "GIT_EXEC_PATH", "GIT_CONFIG*", "GIT_EXTERNAL_DIFF", "GIT_ASKPASS"),
        *("GIT_PAGER", "GIT_EDITOR", "GIT_PROXY_COMMAND", "GIT_TEMPLATE_DIR"),
    ),
}

#: What a shell refuses to assign, or must hold a number, or changes what the following lines mean.
_SHELLS_OWN = frozenset(
    {"BASH_VERSINFO", "EUID", "GROUPS", "LINENO", "OPTARG", "OPTIND", "PPID", "PWD", "OLDPWD", "RANDOM", "SECONDS"}
    | {"UID", "PS2", "PS3", "TMOUT", "HISTFILE", "INPUTRC", "MAIL", "MAILPATH", "POSIXLY_CORRECT", "FUNCNEST"}
)
_EXACT = frozenset(name for names in LOADING.values() for name in names if not name.endswith("*"))
_PREFIXES = tuple(name[:-1] for names in LOADING.values() for name in names if name.endswith("*"))


def loads_code(name: str) -> bool:
    """Tell whether a variable decides which code runs."""
    return name in _EXACT or name.startswith(_PREFIXES)


def belongs_to_shell(name: str) -> bool:
    """Tell whether a script must not get a parameter as a variable of this name."""
    return name in _SHELLS_OWN or name.startswith("BASH_") or loads_code(name)
