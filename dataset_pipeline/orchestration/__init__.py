"""What is run and when: arrivals, registration, runs, jobs, automation, and taking episodes out."""
