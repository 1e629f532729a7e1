// The browser and Node client of the notification hub.
