/* Where the compiler comes without a C library; nothing here prints. */
