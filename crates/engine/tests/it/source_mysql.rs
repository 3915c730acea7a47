//! MariaDB read directly.
