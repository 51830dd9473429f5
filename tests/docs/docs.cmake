# Documents, recipes and the manual page against the program.
if(TARGET instar-bin)
  add_test(NAME docs/check-docs COMMAND sh ${CMAKE_CURRENT_LIST_DIR}/check-docs.sh $<TARGET_FILE:instar-bin>
           WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(docs/check-docs PROPERTIES TIMEOUT 120)
endif()
