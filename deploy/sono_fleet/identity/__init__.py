"""Who is who: the fleet's certificate authority, enrolment, and what each identity may do at a broker."""
