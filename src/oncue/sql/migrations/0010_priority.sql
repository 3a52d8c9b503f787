-- Head starts are kept in milliseconds: fractions of a second count as well.
update oncue.runs set priority = priority * 1000 where priority <> 0;
