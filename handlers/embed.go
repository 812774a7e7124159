package handlers

func (s *Server) embedRoutes() {}
