# What `make install` puts where: program, library, header, manual page, guides, recipes, completion for bash.
include(GNUInstallDirs)
if(TARGET instar-bin)
  install(TARGETS instar-bin RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  # The completion script is made by the program itself, so it can't miss a command; with the build, so that installing
  # as root leaves nothing of root's there.
  add_custom_command(TARGET instar-bin POST_BUILD
                     COMMAND ${CMAKE_COMMAND} -E env LSAN_OPTIONS=detect_leaks=0 $<TARGET_FILE:instar-bin> completion bash
                             > ${CMAKE_BINARY_DIR}/instar.bash
                     VERBATIM)
  install(FILES ${CMAKE_BINARY_DIR}/instar.bash RENAME instar DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
endif()
install(TARGETS instar ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/instar DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(FILES man/instar.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES README.md CHANGELOG.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs FILES_MATCHING PATTERN "*.md" PATTERN "*.png")
install(DIRECTORY recipes DESTINATION ${CMAKE_INSTALL_DATADIR}/instar FILES_MATCHING PATTERN "*.yaml")

# For programs that use the library: `pkg-config --cflags --libs instar`.
set(INS_PC_LIBS "-lpthread -ldl -lm")
if(LZMA_FOUND)
  string(PREPEND INS_PC_LIBS "-llzma ")
endif()
# From LIBDIR/pkgconfig back to the prefix, which may be chosen as late as at installing.
string(REGEX REPLACE "[^/]+" ".." INS_PC_UP "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
configure_file(${CMAKE_CURRENT_LIST_DIR}/instar.pc.in ${CMAKE_BINARY_DIR}/instar.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/instar.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
